// Where tiles lie, what goes into them, and how their outputs become one image.
#pragma once

#include <vector>

#include "image.h"

namespace csd {

// Starts of tiles of `tile` pixels that cover `length` pixels. Neighbours share at least
// 2 * overlap pixels; the first starts at 0 and the last ends at `length`, so that a tile meets the
// image's border exactly where the whole image would. That holds for an image smaller than a
// tile too: its two tiles start at 0 and at length - tile, which is negative, and each answers for
// the half at its own border, far from its mirrored part.
std::vector<int> tile_starts(int length, int tile, int overlap);

// One axis of the plan: starts, and the weight of each tile's output pixels.
struct Axis {
  Axis(int length, int tile, int overlap, int scale);

  int length;  // of the LR image
  int tile;
  std::vector<int> starts;
  // weights[i][p]: share of tile i in output pixel starts[i] * scale + p, 0 <= p < tile * scale.
  // The shares of all tiles at a pixel add up to 1. Two tiles change over in the middle of what they
  // share, along a ramp of half an overlap, so that no step is seen; where only one counts, 1.
  std::vector<std::vector<float>> weights;
};

// Copies the tile at (top, left) into `out`, float32 (3, tile_height, tile_width), RGB 0..255.
// Outside the image it is mirrored (the border pixel is repeated).
void cut_tile(const Image& image, int top, int left, int tile_height, int tile_width, float* out);

// Adds up the outputs of tiles, in order of rows, and keeps only one row of tiles as floats.
class Stitcher {
 public:
  Stitcher(const Axis& vertical, const Axis& horizontal, int scale);

  // Output of tile (row, column): float32 (3, tile_height * scale, tile_width * scale). Tiles come
  // row by row, from left to right.
  void add(int row, int column, const float* tile);
  // The finished image; call it after the last tile.
  Image take();

 private:
  void flush(int until);  // turn output rows before `until` into bytes

  const Axis& vertical_;
  const Axis& horizontal_;
  int scale_;
  int first_ = 0;           // output row that sums_ begins with
  std::vector<float> sums_;  // rows of interleaved RGB
  Image image_;
};

}  // namespace csd
