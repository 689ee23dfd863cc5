// What was done, how long it took, and what failed.
#pragma once

#include <string>
#include <vector>

#include "upscale.h"

namespace csd {

struct Done {
  std::string input;
  std::string output;
  int height = 0;  // of the LR image
  int width = 0;
  double megapixels = 0.0;  // of the output
  Timing timing;
};

struct Failed {
  std::string input;
  std::string reason;
};

struct Stats {
  std::string device;
  std::vector<std::string> models;
  std::vector<Done> done;
  std::vector<Failed> failed;
  double seconds = 0.0;  // from the first read to the last write, all three overlapping

  Done total() const;
  std::string line(const Done& item) const;  // for a person
  std::string summary() const;
  std::string json() const;
};

// Control characters as \x1b: a name cannot move the cursor of a terminal or begin a line.
std::string printable(const std::string& text);

// Text as a JSON string, quotes included.
std::string json_string(const std::string& text);

}  // namespace csd
