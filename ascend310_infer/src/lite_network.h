// A MINDIR that MindSpore Lite runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "network.h"

namespace csd {

struct Device {
  std::string name = "CPU";  // or "Ascend"
  int id = 0;
  int threads = 0;        // 0: as many as there are processors
  std::string precision;  // of Ascend; empty: MindSpore Lite's own
};

// Loads a model and runs it once on grey in each size and batch that it is built for. One network
// for each size: those of the configuration file beside the model (config_of), else the model's own.
// `batch` 0 keeps the batches of the model. Throws Error: no such file, no MINDIR, not a network of
// RGB images, no such device, a size or batch that the model does not take.
std::vector<std::unique_ptr<Network>> load_networks(const std::string& path, const Device& device,
                                                    int batch);

}  // namespace csd
