// csd_infer: images through an exported network, on an Ascend device or the CPU.
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "files.h"
#include "lite_network.h"
#include "options.h"
#include "pipeline.h"

namespace {

// Libraries read these while they are loaded, before main: MindSpore Lite the level of its own log
// (what matters to a user comes back as a status), OpenCV the largest image that it decodes. So set
// them and start again. Where that fails the log is noisy and large images cost memory, nothing else.
void prepare_libraries(const csd::Options& options, char** argv) {
  const char* const limit_name = "OPENCV_IO_MAX_IMAGE_PIXELS";
  const std::string limit = std::to_string(options.max_pixels);
  const char* const current = std::getenv(limit_name);
  const bool limited = current != nullptr && current == limit;
  if (limited && std::getenv("GLOG_v") != nullptr) return;
  setenv("GLOG_v", "4", 0);  // unless the user set it
  setenv(limit_name, limit.c_str(), 1);
  execv("/proc/self/exe", argv);
}

// `code`, or 1 where lines could not be written: a script that reads them would miss some.
int end_with(int code) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return code;
  std::fprintf(stderr, "error: cannot write to the standard output: %s\n", std::strerror(errno));
  return code == 0 ? 1 : code;
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
  csd::Stats stats = csd::run_jobs(jobs, networks, options.overlap, options.max_pixels);
  stats.device = options.device;
  stats.models = options.models;
  std::printf("%s\n", stats.summary().c_str());
  if (!options.json.empty()) {
    const std::string text = stats.json();
    csd::write_file(options.json, text.data(), text.size());
  }
  return end_with(stats.failed.empty() ? 0 : 1);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const csd::Options options = csd::parse_options(std::vector<std::string>(argv + 1, argv + argc));
    if (options.help) {
      std::fputs(csd::usage().c_str(), stdout);
      return end_with(0);
    }
    prepare_libraries(options, argv);
    std::signal(SIGXFSZ, SIG_IGN);  // writing beyond a limit is then an error like a full disk
    return run(options);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "error: %s\n", csd::printable(problem.what()).c_str());
    return 2;
  }
}
