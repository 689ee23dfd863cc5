// A super-resolution network as the rest of the program sees it.
#pragma once

#include <stdexcept>
#include <string>
#include <vector>

namespace csd {

// A failure that one sentence explains.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Network {
 public:
  virtual ~Network() = default;

  // Input height and width; 0 for both when any size does.
  virtual int height() const = 0;
  virtual int width() const = 0;
  // How many tiles the next run takes at once when `remaining` are left: the network may be built
  // for several batches. It may be more than `remaining`.
  virtual int batch(int remaining) const = 0;
  // Output size over input size.
  virtual int scale() const = 0;

  // Runs one batch. `input` is float32 (batch, 3, height, width), RGB 0..255, with a batch that
  // batch() gave; returns (batch, 3, scale * height, scale * width), valid until the next call.
  virtual const float* run(const std::vector<float>& input, int batch, int height, int width) = 0;
};

}  // namespace csd
