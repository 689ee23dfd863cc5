#include "options.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "network.h"

namespace csd {
namespace {

template <typename Integer>
Integer number(const std::string& flag, const std::string& text, Integer low, Integer high) {
  Integer value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data(), end, value);
  if (problem != std::errc() || stop != end || value < low || value > high) {
    throw Error(flag + " must be a whole number from " + std::to_string(low) + " to " +
                std::to_string(high) + ", not '" + text + "'");
  }
  return value;
}

// What AscendDeviceInfo::SetPrecisionMode takes. It ignores any other word, with a line in its log
// alone.
constexpr std::array precision_modes = {"enforce_fp32", "preferred_fp32", "enforce_fp16",
                                        "enforce_origin", "preferred_optimal"};

void check_device(const Options& options) {
  if (options.device != "CPU" && options.device != "Ascend") {
    throw Error("--device must be CPU or Ascend, not '" + options.device + "'");
  }
  if (options.precision.empty()) return;
  std::string known;
  for (const std::string mode : precision_modes) {
    if (options.precision == mode) {
      if (options.device == "Ascend") return;
      throw Error("--precision is for --device Ascend; the CPU computes in float32");
    }
    known += (known.empty() ? "" : ", ") + mode;
  }
  throw Error("--precision must be one of " + known + ", not '" + options.precision + "'");
}

}  // namespace

std::string usage() {
  return
      "usage: csd_infer --model FILE.mindir --input FILE_OR_FOLDER --output FOLDER\n"
      "                 [--device CPU|Ascend] [--device_id N] [--precision MODE] [--threads N]\n"
      "                 [--overlap N] [--batch N] [--max_pixels N] [--json FILE]\n"
      "\n"
      "Upscales images with an exported network and writes them as PNG.\n"
      "\n"
      "  --model      a MINDIR; given more than once, each image takes the size that fits best\n"
      "  --input      an image, or a folder of them\n"
      "  --output     folder for <name>.png; made if it is missing\n"
      "  --device     CPU (the default) or Ascend (310P, 310)\n"
      "  --device_id  which Ascend device (0)\n"
      "  --precision  how Ascend computes: enforce_fp32, preferred_fp32, enforce_fp16,\n"
      "               enforce_origin or preferred_optimal (MindSpore Lite's own: enforce_fp16);\n"
      "               a model that converter_lite compiled keeps what it was compiled with\n"
      "  --threads    CPU threads of the network (all processors)\n"
      "  --overlap    pixels that a tile computes beyond its own part, on each side (8)\n"
      "  --batch      tiles computed at once (what the model was built for)\n"
      "  --max_pixels largest image that is read (400000000)\n"
      "  --json       write all times to this file as well\n"
      "\n"
      "Ends with 0; 1: some images failed; 2: wrong usage, model or device.\n";
}

Options parse_options(const std::vector<std::string>& arguments) {
  Options options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    std::string flag = arguments[i];
    if (flag == "-h" || flag == "--help") {
      options.help = true;
      return options;
    }
    std::string value;
    if (const size_t equals = flag.find('='); equals != std::string::npos) {
      value = flag.substr(equals + 1);
      flag.resize(equals);
    } else if (flag.rfind("--", 0) == 0) {
      if (i + 1 == arguments.size()) throw Error(flag + " needs a value; see --help");
      value = arguments[++i];
    }
    if (flag == "--model") {
      options.models.push_back(value);
    } else if (flag == "--input") {
      options.input = value;
    } else if (flag == "--output") {
      options.output = value;
    } else if (flag == "--device") {
      options.device = value;
    } else if (flag == "--device_id") {
      options.device_id = number(flag, value, 0, 1023);
    } else if (flag == "--precision") {
      if (value.empty()) throw Error("--precision needs a value; see --help");
      options.precision = value;
    } else if (flag == "--threads") {
      options.threads = number(flag, value, 1, 1024);
    } else if (flag == "--overlap") {
      options.overlap = number(flag, value, 0, 1024);
    } else if (flag == "--batch") {
      options.batch = number(flag, value, 1, 1024);
    } else if (flag == "--max_pixels") {
      options.max_pixels = number<int64_t>(flag, value, 1, int64_t{1} << 30);
    } else if (flag == "--json") {
      options.json = value;
    } else {
      throw Error("unknown argument '" + arguments[i] + "'; see --help");
    }
  }
  if (options.models.empty()) throw Error("no model: name one with --model FILE.mindir");
  if (options.input.empty()) throw Error("no input: name an image or a folder with --input");
  if (options.output.empty()) throw Error("no output: name a folder with --output");
  check_device(options);
  return options;
}

}  // namespace csd
