// One image through one network: cut, run, stitch.
#pragma once

#include <chrono>
#include <cstddef>
#include <vector>

#include "image.h"
#include "network.h"

namespace csd {

class Stopwatch {
 public:
  double milliseconds() const {
    return std::chrono::duration<double, std::milli>(Clock::now() - start_).count();
  }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

// Milliseconds spent on one image, and on how many tiles.
struct Timing {
  double before = 0.0;  // read, decode, cut
  double inference = 0.0;
  double after = 0.0;  // stitch, encode, write
  int tiles = 0;
};

// Which of the networks takes an image of this size: one of the same size or of any size; else the
// one with the fewest pixels to compute among those that fit inside; else the one that needs the
// fewest mirrored pixels.
size_t choose_network(const std::vector<Network*>& networks, int height, int width, int overlap);

// Which of the batches (ascending, not empty) takes the next tiles: the smallest that holds all that
// remain, unless more than half of it would be empty and a smaller one is there.
int choose_batch(const std::vector<int>& batches, int remaining);

// Adds its times to `timing`; `buffer` is reused between calls. Throws Error.
Image upscale(const Image& image, Network& network, int overlap, std::vector<float>& buffer,
              Timing& timing);

}  // namespace csd
