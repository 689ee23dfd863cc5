// A MINDIR that MindSpore Lite runs.
#pragma once

#include <memory>
#include <string>

#include "network.h"

namespace csd {

struct Device {
  std::string name = "CPU";  // or "Ascend"
  int id = 0;
  int threads = 0;  // 0: as many as there are processors
};

// Loads and compiles the model, and runs it once on grey. `batch` 0 keeps the model's own. Throws
// Error: no such file, no MINDIR, not a network of RGB pictures, no such device.
std::unique_ptr<Network> load_network(const std::string& path, const Device& device, int batch);

}  // namespace csd
