#include "tiling.h"

#include <algorithm>
#include <utility>

namespace csd {
namespace {

// Index of the mirrored pixel: 0 1 2 | 2 1 0 | 0 1 2 ...
int mirrored(int at, int length) {
  const int period = 2 * length;
  const int inside = ((at % period) + period) % period;
  return inside < length ? inside : period - 1 - inside;
}

uint8_t to_byte(float value) {
  if (!(value > 0.0F)) return 0;  // NaN too
  return value >= 255.0F ? 255 : static_cast<uint8_t>(value + 0.5F);
}

}  // namespace

std::vector<int> tile_starts(int length, int tile, int overlap) {
  std::vector<int> starts{0};
  if (length < tile) starts.push_back(length - tile);
  const int step = std::max(1, tile - 2 * overlap);
  while (starts.back() + tile < length) {
    starts.push_back(std::min(starts.back() + step, length - tile));
  }
  return starts;
}

Axis::Axis(int length_in, int tile_in, int overlap, int scale)
    : length(length_in), tile(tile_in), starts(tile_starts(length_in, tile_in, overlap)) {
  const int size = tile * scale;
  const float half_ramp = 0.25F * static_cast<float>(overlap * scale);
  // How far tile i has taken over from tile i - 1 at an output pixel. A later tile never leads an
  // earlier one, so that the differences are shares, not negative, that add up to 1.
  const auto taken_over = [&](size_t i, int pixel) {
    if (i == 0) return 1.0F;
    if (i == starts.size()) return 0.0F;
    const int middle_twice = (starts[i] + starts[i - 1] + tile) * scale;
    const float from_middle = static_cast<float>(pixel) + 0.5F - 0.5F * static_cast<float>(middle_twice);
    if (half_ramp == 0.0F) return from_middle < 0.0F ? 0.0F : 1.0F;
    return std::clamp(0.5F + 0.5F * from_middle / half_ramp, 0.0F, 1.0F);
  };
  for (size_t i = 0; i < starts.size(); ++i) {
    std::vector<float>& shares = weights.emplace_back(size);
    for (int p = 0; p < size; ++p) {
      const int pixel = starts[i] * scale + p;
      shares[p] = taken_over(i, pixel) - taken_over(i + 1, pixel);
    }
  }
}

void cut_tile(const Image& image, int top, int left, int tile_height, int tile_width, float* out) {
  const size_t plane = static_cast<size_t>(tile_height) * tile_width;
  for (int y = 0; y < tile_height; ++y) {
    const int from_y = mirrored(top + y, image.height);
    const uint8_t* row = image.rgb.data() + static_cast<size_t>(from_y) * image.width * 3;
    float* to = out + static_cast<size_t>(y) * tile_width;
    for (int x = 0; x < tile_width; ++x) {
      const uint8_t* pixel = row + static_cast<size_t>(mirrored(left + x, image.width)) * 3;
      to[x] = pixel[0];
      to[x + plane] = pixel[1];
      to[x + 2 * plane] = pixel[2];
    }
  }
}

Stitcher::Stitcher(const Axis& vertical, const Axis& horizontal, int scale)
    : vertical_(vertical), horizontal_(horizontal), scale_(scale) {
  image_.height = vertical.length * scale;
  image_.width = horizontal.length * scale;
  image_.rgb.resize(static_cast<size_t>(image_.height) * image_.width * 3);
  const int rows = std::min(vertical.tile * scale, image_.height);
  sums_.assign(static_cast<size_t>(rows) * image_.width * 3, 0.0F);
}

void Stitcher::flush(int until) {
  const size_t row = static_cast<size_t>(image_.width) * 3;
  const size_t done = static_cast<size_t>(until - first_) * row;
  uint8_t* to = image_.rgb.data() + static_cast<size_t>(first_) * row;
  std::transform(sums_.begin(), sums_.begin() + static_cast<std::ptrdiff_t>(done), to, to_byte);
  std::copy(sums_.begin() + static_cast<std::ptrdiff_t>(done), sums_.end(), sums_.begin());
  std::fill(sums_.end() - static_cast<std::ptrdiff_t>(done), sums_.end(), 0.0F);
  first_ = until;
}

void Stitcher::add(int row, int column, const float* tile) {
  const int top = vertical_.starts[row] * scale_;
  if (top > first_) flush(top);
  const int tile_height = vertical_.tile * scale_;
  const int tile_width = horizontal_.tile * scale_;
  const size_t plane = static_cast<size_t>(tile_height) * tile_width;
  const int left = horizontal_.starts[column] * scale_;
  const int first_y = std::max(0, -top);  // what lies outside the image is left out
  const int first_x = std::max(0, -left);
  const int height = std::min(tile_height, image_.height - top);
  const int width = std::min(tile_width, image_.width - left);
  const std::vector<float>& across = horizontal_.weights[column];
  for (int y = first_y; y < height; ++y) {
    const float down = vertical_.weights[row][y];
    if (down == 0.0F) continue;
    float* to = sums_.data() + (static_cast<size_t>(top + y - first_) * image_.width + left + first_x) * 3;
    const float* from = tile + static_cast<size_t>(y) * tile_width;
    for (int x = first_x; x < width; ++x, to += 3) {
      const float share = down * across[x];
      if (share == 0.0F) continue;  // also keeps what a tile does not answer for out of the sum
      to[0] += share * from[x];
      to[1] += share * from[x + plane];
      to[2] += share * from[x + 2 * plane];
    }
  }
}

Image Stitcher::take() {
  flush(image_.height);
  return std::move(image_);
}

}  // namespace csd
