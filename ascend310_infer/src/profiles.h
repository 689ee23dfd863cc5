// The input sizes that converter_lite compiled a model for ("dynamic_dims").
#pragma once

#include <string>
#include <vector>

namespace csd {

// One of them. All at least 1.
struct Profile {
  int batch;
  int height;
  int width;

  bool operator==(const Profile& other) const {
    return batch == other.batch && height == other.height && width == other.width;
  }
};

// Where the converter's configuration file of a model is looked for: m.mindir -> m.cfg.
std::string config_of(const std::string& model);

// The profiles of a configuration file, in its order; none when it sets no dynamic_dims. Read are
// [ascend_context] dynamic_dims and [acl_build_options] ge.dynamicDims, each with its input_shape.
// Throws Error: no such file, not one NCHW input of 3 channels, or sizes that do not fit it.
std::vector<Profile> read_profiles(const std::string& path);

}  // namespace csd
