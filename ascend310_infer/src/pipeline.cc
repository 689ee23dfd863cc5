#include "pipeline.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdint>
#include <filesystem>
#include <map>
#include <new>
#include <set>
#include <thread>

#include "files.h"
#include "image.h"
#include "upscale.h"

namespace fs = std::filesystem;

namespace csd {
namespace {

// An image on its way, with the reason why it goes no further, if so.
struct Item {
  Done facts;
  Image image;
  std::string failure;
};

// As in the Python programs: an output is held in memory, three bytes a pixel.
constexpr int64_t max_output_pixels = 1000000000;
constexpr size_t max_name_bytes = 255;  // of a file name on Linux

bool is_image_name(const fs::path& path) {
  static const std::set<std::string> suffixes = {".png",  ".jpg",  ".jpeg", ".bmp",
                                                 ".tif",  ".tiff", ".webp", ".ppm",
                                                 ".pgm"};
  std::string suffix = path.extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return suffixes.count(suffix) != 0 && path.filename().string().front() != '.';
}

// Runs one step of an item; what it throws becomes the item's failure.
template <typename Step>
void attempt(Item& item, Step step) {
  if (!item.failure.empty()) return;
  try {
    step();
  } catch (const std::bad_alloc&) {
    item.failure = item.facts.input + ": not enough memory for an image of this size";
  } catch (const std::exception& problem) {
    item.failure = problem.what();
  }
  if (!item.failure.empty()) item.image = Image{};
}

void read(Item& item, int64_t max_pixels) {
  const Stopwatch watch;
  item.image = read_image(item.facts.input, max_pixels);
  item.facts.height = item.image.height;
  item.facts.width = item.image.width;
  item.facts.timing.before += watch.milliseconds();
}

void infer(Item& item, const std::vector<Network*>& networks, int overlap,
           std::vector<float>& buffer) {
  const Image& small = item.image;
  const size_t chosen = choose_network(networks, small.height, small.width, overlap);
  item.image = upscale(small, *networks[chosen], overlap, buffer, item.facts.timing);
  item.facts.megapixels = 1e-6 * item.image.height * item.image.width;
}

void write(Item& item) {
  const Stopwatch watch;
  write_png(item.facts.output, item.image);
  item.image = Image{};
  item.facts.timing.after += watch.milliseconds();
}

// The stem and what is behind it; of the stem as many whole characters (UTF-8) as a name has room for.
std::string fitted(std::string stem, const std::string& ending) {
  while (stem.size() + ending.size() > max_name_bytes) {
    while (stem.size() > 1 && (static_cast<unsigned char>(stem.back()) & 0xC0) == 0x80) stem.pop_back();
    stem.pop_back();
  }
  return stem + ending;
}

// A name that no image before has: <stem>.png, unless images share the stem; <name>.png;
// <name>_2.png and so on.
std::string free_name(const fs::path& file, bool shared, std::set<std::string>& taken) {
  std::string name = fitted((shared ? file.filename() : file.stem()).string(), ".png");
  for (int number = 1; !taken.insert(name).second; ++number) {
    const std::string added = number == 1 ? "" : "_" + std::to_string(number);
    name = fitted(file.filename().string(), added + ".png");
  }
  return name;
}

}  // namespace

std::vector<Job> list_jobs(const std::string& input, const std::string& output) {
  std::error_code problem;
  const fs::file_status status = fs::status(input, problem);
  if (!fs::exists(status)) {
    const bool missing = !problem || problem == std::errc::no_such_file_or_directory;
    throw Error(input + ": " + (missing ? "no such file or folder" : problem.message()));
  }
  std::vector<fs::path> files;
  if (fs::is_directory(status)) {
    for (fs::directory_iterator at(input, problem), end; !problem && at != end;
         at.increment(problem)) {
      std::error_code ignored;
      if (is_image_name(at->path()) && !at->is_directory(ignored)) files.push_back(at->path());
    }
    if (problem) throw Error(input + ": " + problem.message());
    std::sort(files.begin(), files.end());
    if (files.empty()) throw Error("no images in " + input);
  } else {
    files.emplace_back(input);
  }
  std::map<std::string, int> stems;
  for (const fs::path& file : files) ++stems[file.stem().string()];
  std::set<std::string> taken;
  std::vector<Job> jobs;
  for (const fs::path& file : files) {
    const std::string name = free_name(file, stems[file.stem().string()] > 1, taken);
    jobs.push_back({file.string(), (fs::path(output) / name).string()});
    std::error_code ignored;
    if (fs::equivalent(jobs.back().input, jobs.back().output, ignored)) {
      throw Error("the output folder is the input's: " + jobs.back().input +
                  " would be overwritten");
    }
  }
  return jobs;
}

void prepare_output(const std::string& folder) {
  std::error_code problem;
  if (fs::exists(folder, problem) && !fs::is_directory(folder, problem)) {
    throw Error(folder + " is not a folder");
  }
  fs::create_directories(folder, problem);
  if (problem) throw Error("cannot make the folder " + folder + ": " + problem.message());
  const std::string probe = (fs::path(folder) / (".csd_infer." + std::to_string(getpid()))).string();
  write_file(probe, "", 0);
  std::remove(probe.c_str());
}

Stats run_jobs(const std::vector<Job>& jobs, const std::vector<Network*>& networks, int overlap,
               int64_t max_pixels) {
  const Stopwatch watch;
  Stats stats;
  const int64_t scale = networks.front()->scale();
  max_pixels = std::min(max_pixels, max_output_pixels / (scale * scale));
  Queue<Item> to_infer(2);
  Queue<Item> to_write(2);

  std::thread reader([&] {
    for (const Job& job : jobs) {
      Item item;
      item.facts.input = job.input;
      item.facts.output = job.output;
      attempt(item, [&] { read(item, max_pixels); });
      to_infer.push(std::move(item));
    }
    to_infer.close();
  });
  std::thread writer([&] {
    while (std::optional<Item> item = to_write.pop()) {
      attempt(*item, [&] { write(*item); });
      if (item->failure.empty()) {
        std::printf("%s\n", printable(stats.line(item->facts)).c_str());
        stats.done.push_back(std::move(item->facts));
      } else {
        std::fprintf(stderr, "error: %s\n", printable(item->failure).c_str());
        stats.failed.push_back({item->facts.input, item->failure});
      }
    }
  });
  // Inference stays in the thread that built the networks: an Ascend context belongs to its thread.
  std::vector<float> buffer;
  while (std::optional<Item> item = to_infer.pop()) {
    attempt(*item, [&] { infer(*item, networks, overlap, buffer); });
    to_write.push(std::move(*item));
  }
  to_write.close();
  reader.join();
  writer.join();
  stats.seconds = watch.milliseconds() / 1000.0;
  return stats;
}

}  // namespace csd
