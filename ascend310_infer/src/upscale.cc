#include "upscale.h"

#include <algorithm>
#include <tuple>

#include "tiling.h"

namespace csd {

size_t choose_network(const std::vector<Network*>& networks, int height, int width, int overlap) {
  const auto cost = [&](const Network* network) -> std::tuple<int, double> {
    const int h = network->height();
    const int w = network->width();
    if (h == 0 || (h == height && w == width)) return {0, 0.0};
    const auto rows = static_cast<double>(tile_starts(height, h, overlap).size());
    const auto columns = static_cast<double>(tile_starts(width, w, overlap).size());
    return {h <= height && w <= width ? 1 : 2, rows * columns * h * w};
  };
  size_t best = 0;
  for (size_t i = 1; i < networks.size(); ++i) {
    if (cost(networks[i]) < cost(networks[best])) best = i;
  }
  return best;
}

int choose_batch(const std::vector<int>& batches, int remaining) {
  const auto enough = std::lower_bound(batches.begin(), batches.end(), remaining);
  if (enough == batches.end()) return batches.back();
  return enough == batches.begin() || *enough <= 2 * remaining ? *enough : *(enough - 1);
}

Image upscale(const Image& image, Network& network, int overlap, std::vector<float>& buffer,
              Timing& timing) {
  const int tile_height = network.height() == 0 ? image.height : network.height();
  const int tile_width = network.width() == 0 ? image.width : network.width();
  const int scale = network.scale();
  const size_t in_size = static_cast<size_t>(3) * tile_height * tile_width;
  const size_t out_size = in_size * scale * scale;
  const Axis vertical(image.height, tile_height, overlap, scale);
  const Axis horizontal(image.width, tile_width, overlap, scale);
  const int columns = static_cast<int>(horizontal.starts.size());
  const int tiles = static_cast<int>(vertical.starts.size()) * columns;
  Stitcher stitcher(vertical, horizontal, scale);
  for (int done = 0; done < tiles;) {
    const int batch = network.batch(tiles - done);
    const int count = std::min(batch, tiles - done);
    const Stopwatch cutting;
    buffer.resize(in_size * batch);
    for (int i = 0; i < count; ++i) {
      const int row = (done + i) / columns;
      const int column = (done + i) % columns;
      cut_tile(image, vertical.starts[row], horizontal.starts[column], tile_height, tile_width,
               buffer.data() + i * in_size);
    }
    timing.before += cutting.milliseconds();
    const Stopwatch running;
    const float* output = network.run(buffer, batch, tile_height, tile_width);
    timing.inference += running.milliseconds();
    const Stopwatch stitching;
    for (int i = 0; i < count; ++i) {
      stitcher.add((done + i) / columns, (done + i) % columns, output + i * out_size);
    }
    timing.after += stitching.milliseconds();
    done += count;
  }
  timing.tiles += tiles;
  const Stopwatch rounding;
  Image result = stitcher.take();
  timing.after += rounding.milliseconds();
  return result;
}

}  // namespace csd
