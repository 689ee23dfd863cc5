// csd_infer: photographs through an exported network, on an Ascend device or the CPU.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "lite_network.h"
#include "options.h"
#include "pipeline.h"

namespace {

void write_json(const std::string& path, const std::string& text) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  const bool written = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    throw csd::Error("cannot write " + path);
  }
}

// MindSpore Lite reads the level of its own log while it is loaded, before main. What matters to a
// user comes back as a status, so start again with that log silenced, unless the user set it.
void silence_lite_log(char** argv) {
  if (std::getenv("GLOG_v") != nullptr) return;
  setenv("GLOG_v", "4", 1);
  execv("/proc/self/exe", argv);  // where this fails the log is noisy, nothing else
}

void check_network(const csd::Network& network, const csd::Options& options) {
  const int side = std::min(network.height(), network.width());
  if (side > 0 && 2 * options.overlap >= side) {
    throw csd::Error("--overlap " + std::to_string(options.overlap) + " leaves nothing of tiles of " +
                     std::to_string(network.height()) + " x " + std::to_string(network.width()) +
                     "; it must be less than half of a side");
  }
}

int run(const csd::Options& options) {
  const std::vector<csd::Job> jobs = csd::list_jobs(options.input, options.output);
  csd::prepare_output(options.output);
  const csd::Device device{options.device, options.device_id, options.threads, options.precision};
  std::vector<std::unique_ptr<csd::Network>> owned;
  for (const std::string& model : options.models) {
    for (auto& network : csd::load_networks(model, device, options.batch)) {
      check_network(*network, options);
      owned.push_back(std::move(network));
      if (owned.back()->scale() == owned.front()->scale()) continue;
      throw csd::Error(model + " scales by " + std::to_string(owned.back()->scale()) + ", " +
                       options.models.front() + " by " + std::to_string(owned.front()->scale()));
    }
  }
  std::vector<csd::Network*> networks;
  for (const auto& network : owned) networks.push_back(network.get());
  csd::Stats stats = csd::run_jobs(jobs, networks, options.overlap);
  stats.device = options.device;
  stats.models = options.models;
  std::printf("%s\n", stats.summary().c_str());
  if (!options.json.empty()) write_json(options.json, stats.json());
  return stats.failed.empty() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const csd::Options options = csd::parse_options(std::vector<std::string>(argv + 1, argv + argc));
    if (options.help) {
      std::fputs(csd::usage().c_str(), stdout);
      return 0;
    }
    silence_lite_log(argv);
    return run(options);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "error: %s\n", problem.what());
    return 2;
  }
}
