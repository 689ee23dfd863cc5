// The command line.
#pragma once

#include <string>
#include <vector>

#include "image.h"

namespace csd {

struct Options {
  std::vector<std::string> models;
  std::string input;
  std::string output;
  std::string device = "CPU";
  int device_id = 0;
  std::string precision;  // one of MindSpore Lite's modes for Ascend; empty: the model's own
  int threads = 0;  // 0: as many as there are processors
  int overlap = 8;
  int batch = 0;  // 0: what the model was exported with
  int64_t max_pixels = default_max_pixels;  // of an input
  std::string json;
  bool help = false;
};

// Throws Error for a wrong command line.
Options parse_options(const std::vector<std::string>& arguments);

std::string usage();

}  // namespace csd
