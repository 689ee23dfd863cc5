// Tests of everything but MindSpore Lite: tiles, images, the pipeline, the command line.
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <utility>

#include "files.h"
#include "image.h"
#include "options.h"
#include "pipeline.h"
#include "profiles.h"
#include "stats.h"
#include "tiling.h"
#include "upscale.h"

namespace fs = std::filesystem;

namespace {

int failures = 0;

#define CHECK(condition)                                                        \
  do {                                                                          \
    if (!(condition)) {                                                         \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      ++failures;                                                               \
    }                                                                           \
  } while (false)

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const csd::Error& error) {
    return error.what();
  }
  return "";
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

// Doubles every pixel of a 3 x 3 mean with zeros outside: it sees 1 pixel far, and, like a network
// with padded convolutions, treats the border of its input in its own way.
class Blur : public csd::Network {
 public:
  Blur(int height, int width, int batch) : Blur(height, width, std::vector<int>{batch}) {}
  Blur(int height, int width, std::vector<int> batches)
      : height_(height), width_(width), batches_(std::move(batches)) {}
  int height() const override { return height_; }
  int width() const override { return width_; }
  int batch(int remaining) const override { return csd::choose_batch(batches_, remaining); }
  int scale() const override { return 2; }

  const float* run(const std::vector<float>& input, int batch, int height, int width) override {
    CHECK(std::count(batches_.begin(), batches_.end(), batch) == 1);
    CHECK(input.size() == static_cast<size_t>(batch) * 3 * height * width);
    runs.push_back(batch);
    output_.assign(input.size() * 4, -1.0F);
    for (int plane = 0; plane < 3 * batch; ++plane) {
      const float* from = input.data() + static_cast<size_t>(plane) * height * width;
      float* to = output_.data() + static_cast<size_t>(plane) * height * width * 4;
      for (int y = 0; y < 2 * height; ++y) {
        for (int x = 0; x < 2 * width; ++x) {
          float sum = 0.0F;
          for (int v = y / 2 - 1; v <= y / 2 + 1; ++v) {
            for (int u = x / 2 - 1; u <= x / 2 + 1; ++u) {
              if (v >= 0 && v < height && u >= 0 && u < width) sum += from[v * width + u];
            }
          }
          to[y * 2 * width + x] = sum / 9.0F;
        }
      }
    }
    return output_.data();
  }

  std::vector<int> runs;  // their batches

 private:
  int height_, width_;
  std::vector<int> batches_;
  std::vector<float> output_;
};

csd::Image noise(int height, int width) {
  csd::Image image{height, width, std::vector<uint8_t>(static_cast<size_t>(height) * width * 3)};
  uint32_t state = 1;
  for (uint8_t& value : image.rgb) {
    state = state * 1664525U + 1013904223U;
    value = static_cast<uint8_t>(state >> 24U);
  }
  return image;
}

csd::Image run(const csd::Image& image, csd::Network& network, int overlap, int* tiles = nullptr) {
  std::vector<float> buffer;
  csd::Timing timing;
  csd::Image result = csd::upscale(image, network, overlap, buffer, timing);
  if (tiles != nullptr) *tiles = timing.tiles;
  return result;
}

void test_tile_starts() {
  CHECK((csd::tile_starts(10, 16, 2) == std::vector<int>{0, -6}));
  CHECK(csd::tile_starts(16, 16, 2) == std::vector<int>{0});
  CHECK((csd::tile_starts(17, 16, 2) == std::vector<int>{0, 1}));
  CHECK((csd::tile_starts(40, 16, 2) == std::vector<int>{0, 12, 24}));
  CHECK((csd::tile_starts(41, 16, 2) == std::vector<int>{0, 12, 24, 25}));
}

void test_shares_add_up_to_one() {
  for (int length : {1, 7, 16, 17, 33, 100}) {
    for (int tile : {16, 24}) {
      for (int overlap : {0, 1, 3, 7}) {
        const csd::Axis axis(length, tile, overlap, 3);
        std::vector<float> sums(static_cast<size_t>(length) * 3, 0.0F);
        for (size_t i = 0; i < axis.starts.size(); ++i) {
          for (int p = 0; p < tile * 3; ++p) {
            const size_t at = static_cast<size_t>(axis.starts[i]) * 3 + p;
            CHECK(axis.weights[i][p] >= 0.0F);
            if (at < sums.size()) sums[at] += axis.weights[i][p];
          }
        }
        for (float sum : sums) CHECK(std::abs(sum - 1.0F) < 1e-5F);
      }
    }
  }
}

void test_pixels_near_a_tiles_inner_edge_do_not_count() {
  const csd::Axis axis(40, 16, 4, 1);
  for (int p = 0; p < 3; ++p) {  // a ramp of 2 pixels around the middle of 8 shared ones
    CHECK(axis.weights[1][p] == 0.0F);
    CHECK(axis.weights[0][15 - p] == 0.0F);
  }
  CHECK(axis.weights[0][0] == 1.0F);
  CHECK(axis.weights.back()[15] == 1.0F);
}

void test_tiles_equal_the_whole_image() {
  const csd::Image image = noise(50, 37);
  Blur whole(0, 0, 1);
  const csd::Image wanted = run(image, whole, 8);
  CHECK(wanted.height == 100 && wanted.width == 74);
  for (int batch : {1, 3, 50}) {
    Blur tiled(16, 20, batch);
    int tiles = 0;
    const csd::Image got = run(image, tiled, 3, &tiles);
    CHECK(got.rgb == wanted.rgb);
    CHECK(tiles == 5 * 3);
    CHECK(tiled.runs == std::vector<int>((tiles + batch - 1) / batch, batch));
  }
  Blur short_sighted(16, 20, 1);  // no overlap for a network that sees one pixel: seams
  CHECK(run(image, short_sighted, 0).rgb != wanted.rgb);
}

void test_batches_that_fit_what_is_left() {
  CHECK(csd::choose_batch({4}, 1) == 4);  // no other
  CHECK(csd::choose_batch({1, 8}, 100) == 8 && csd::choose_batch({1, 8}, 8) == 8);
  CHECK(csd::choose_batch({1, 8}, 4) == 8 && csd::choose_batch({1, 8}, 3) == 1);
  CHECK(csd::choose_batch({1, 2, 8}, 3) == 2 && csd::choose_batch({2, 8}, 1) == 2);
  const csd::Image image = noise(50, 37);
  Blur whole(0, 0, 1);
  Blur tiled(16, 20, std::vector<int>{1, 2, 4});  // 15 tiles
  CHECK(run(image, tiled, 3).rgb == run(image, whole, 3).rgb);
  CHECK((tiled.runs == std::vector<int>{4, 4, 4, 4}));
  Blur few(16, 20, std::vector<int>{1, 2, 8});
  CHECK(run(image, few, 3).rgb == run(image, whole, 3).rgb);
  CHECK((few.runs == std::vector<int>{8, 8}));
  Blur small(16, 20, std::vector<int>{1, 7});
  CHECK(run(image, small, 3).rgb == run(image, whole, 3).rgb);
  CHECK((small.runs == std::vector<int>{7, 7, 1}));
}

void test_smaller_than_a_tile() {
  for (const auto& [height, width] : {std::pair{1, 1}, {3, 50}, {15, 2}}) {
    const csd::Image image = noise(height, width);
    Blur tiled(16, 16, 2);
    const csd::Image got = run(image, tiled, 4);
    CHECK(got.height == 2 * height && got.width == 2 * width);
    CHECK(got.rgb.size() == image.rgb.size() * 4);
  }
  for (const auto& [height, width] : {std::pair{12, 9}, {9, 40}, {15, 6}}) {
    const csd::Image image = noise(height, width);  // each half meets its own border, not a mirror
    Blur whole(0, 0, 1);
    Blur tiled(16, 16, 3);
    CHECK(run(image, tiled, 2).rgb == run(image, whole, 2).rgb);
  }
  csd::Image one{1, 1, {90, 90, 90}};  // mirrored to a grey tile; its corner sees 4 of 9 pixels
  Blur tiled(16, 16, 1);
  CHECK(run(one, tiled, 0).rgb[0] == 40);
}

void test_mirror() {
  const csd::Image row{1, 3, {1, 1, 1, 2, 2, 2, 3, 3, 3}};
  std::vector<float> tile(3 * 2 * 8);
  csd::cut_tile(row, 0, -1, 2, 8, tile.data());
  const std::vector<float> wanted{1, 1, 2, 3, 3, 2, 1, 1};
  CHECK(std::equal(wanted.begin(), wanted.end(), tile.begin()));
  CHECK(std::equal(wanted.begin(), wanted.end(), tile.begin() + 8));
}

void test_choice_of_network() {
  Blur small(16, 16, 1);
  Blur large(64, 64, 1);
  Blur exact(20, 30, 1);
  Blur any(0, 0, 1);
  const std::vector<csd::Network*> fixed{&small, &large, &exact};
  CHECK(csd::choose_network(fixed, 20, 30, 2) == 2);
  CHECK(csd::choose_network(fixed, 64, 64, 2) == 1);
  CHECK(csd::choose_network(fixed, 63, 200, 2) != 1);  // the large one would be padded
  CHECK(csd::choose_network({&small, &any}, 500, 500, 2) == 1);
}

void test_reading(const fs::path& folder) {
  const auto path = [&](const char* name) { return (folder / name).string(); };
  cv::Mat colour(2, 3, CV_8UC3, cv::Scalar(10, 20, 30));  // blue, green, red
  cv::imwrite(path("colour.png"), colour);
  cv::imwrite(path("colour.bmp"), colour);
  cv::imwrite(path("alpha.png"), cv::Mat(2, 3, CV_8UC4, cv::Scalar(10, 20, 30, 0)));
  cv::imwrite(path("deep.png"), cv::Mat(2, 3, CV_16UC3, cv::Scalar(10 * 256 + 255, 20 * 256, 30 * 256)));
  for (const char* name : {"colour.png", "colour.bmp", "alpha.png", "deep.png"}) {
    const csd::Image image = csd::read_image(path(name));
    CHECK(image.height == 2 && image.width == 3);
    CHECK(image.rgb[0] == 30 && image.rgb[1] == 20 && image.rgb[2] == 10);
  }
  cv::imwrite(path("grey.png"), cv::Mat(1, 1, CV_8UC1, cv::Scalar(77)));
  CHECK((csd::read_image(path("grey.png")).rgb == std::vector<uint8_t>{77, 77, 77}));

  CHECK(has(message_of([&] { csd::read_image(path("none.png")); }), "No such file"));
  std::ofstream(path("empty.png")).close();
  CHECK(has(message_of([&] { csd::read_image(path("empty.png")); }), "empty"));
  std::ofstream(path("text.png")) << "not an image";
  CHECK(has(message_of([&] { csd::read_image(path("text.png")); }), "cannot be read"));

  cv::Mat photo(64, 64, CV_8UC3);
  cv::randu(photo, 0, 255);
  for (const char* name : {"photo.jpg", "photo.png", "photo.bmp"}) {
    cv::imwrite(path(name), photo);
    std::ifstream file(path(name), std::ios::binary);
    std::vector<char> bytes((std::istreambuf_iterator<char>(file)), {});
    CHECK(message_of([&] { csd::read_image(path(name)); }).empty());
    std::ofstream(path(name), std::ios::binary).write(bytes.data(), bytes.size() / 2);
    CHECK(has(message_of([&] { csd::read_image(path(name)); }), "cut short"));
  }
}

void test_writing(const fs::path& folder) {
  const std::string path = (folder / "written.png").string();
  const csd::Image image = noise(5, 7);
  csd::write_png(path, image);
  CHECK(csd::read_image(path).rgb == image.rgb);
  CHECK(has(message_of([&] { csd::write_png((folder / "no/such.png").string(), image); }),
            "cannot write"));
  size_t parts = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    parts += entry.path().extension() == ".part" ? 1 : 0;
  }
  CHECK(parts == 0);
}

void test_jobs(const fs::path& folder) {
  const std::string in = (folder / "in").string();
  const std::string out = (folder / "deep/out").string();
  fs::create_directories(in);
  CHECK(has(message_of([&] { csd::list_jobs(in, out); }), "no images"));
  CHECK(has(message_of([&] { csd::list_jobs(in + "x", out); }), "no such"));
  csd::write_png(in + "/a.png", noise(20, 20));
  csd::write_png(in + "/b.png", noise(9, 40));
  csd::write_png(in + "/.hidden.png", noise(4, 4));
  cv::imwrite(in + "/a.BMP", cv::Mat(4, 4, CV_8UC3, cv::Scalar(1, 2, 3)));
  std::ofstream(in + "/bad.jpg") << "no";
  std::ofstream(in + "/notes.txt") << "no";
  const std::vector<csd::Job> jobs = csd::list_jobs(in, out);
  CHECK(jobs.size() == 4);
  CHECK(jobs[0].output == out + "/a.BMP.png" && jobs[1].output == out + "/a.png.png");
  CHECK(jobs[2].output == out + "/b.png");
  CHECK(has(message_of([&] { csd::list_jobs(in + "/b.png", in); }), "overwritten"));

  csd::prepare_output(out);
  Blur network(16, 16, 4);
  const csd::Stats stats = csd::run_jobs(jobs, {&network}, 4);
  CHECK(stats.done.size() == 3 && stats.failed.size() == 1);
  CHECK(has(stats.failed[0].reason, "bad.jpg"));
  CHECK(csd::read_image(out + "/b.png").width == 80);
  CHECK(has(stats.json(), "\"failed\": 1"));
  CHECK(has(stats.summary(), "3 written, 1 failed"));
  if (geteuid() != 0) {
    fs::permissions(out, fs::perms::owner_read);
    CHECK(has(message_of([&] { csd::prepare_output(out); }), "cannot write"));
    fs::permissions(out, fs::perms::owner_all);
  }
  CHECK(has(message_of([&] { csd::prepare_output(in + "/a.png/x"); }), "cannot make"));
  CHECK(has(message_of([&] { csd::prepare_output(in + "/a.png"); }), "not a folder"));
}

void test_names_are_different(const fs::path& folder) {
  const std::string in = (folder / "names").string();
  const std::string out = (folder / "named").string();
  fs::create_directories(in);
  std::string many;
  for (int i = 0; i < 83; ++i) many += "\xe4\xb8\xad";  // one character, three bytes
  for (const std::string& name : {std::string("a.jpg"), std::string("a.png"), std::string("a.png.jpg"),
                                  std::string("b.png"), many + ".webp", many + ".jpg"}) {
    std::ofstream(in + "/" + name) << "x";
  }
  std::vector<std::string> names;
  for (const csd::Job& job : csd::list_jobs(in, out)) names.push_back(job.output.substr(out.size() + 1));
  CHECK((std::vector<std::string>(names.begin(), names.begin() + 4) ==
         std::vector<std::string>{"a.jpg.png", "a.png.png", "a.png.jpg.png", "b.png"}));
  CHECK(names.size() == 6 && names[4] != names[5]);
  for (const std::string& name : names) csd::write_png(in + "/" + name, noise(2, 2));
}

// Files of no usual kind: they are refused at once.
void test_special_files(const fs::path& folder) {
  const std::string pipe = (folder / "pipe.png").string();
  CHECK(mkfifo(pipe.c_str(), 0600) == 0);
  const std::string loop = (folder / "loop.png").string();
  fs::create_symlink(loop, loop);
  CHECK(has(message_of([&] { csd::read_image(pipe); }), "is a pipe, socket or device"));
  CHECK(has(message_of([&] { csd::read_image("/dev/zero"); }), "is a pipe, socket or device"));
  CHECK(has(message_of([&] { csd::read_image(folder.string()); }), "is a folder"));
  CHECK(has(message_of([&] { csd::read_image(loop); }), "symbolic links"));
  CHECK(has(message_of([&] { csd::list_jobs(loop, "out"); }), "symbolic links"));
  CHECK(has(message_of([&] { csd::read_image(std::string(300, 'a')); }), "name too long"));
  CHECK(has(message_of([&] { csd::require_file(pipe); }), "is a pipe"));
  CHECK(has(message_of([&] { csd::write_file(pipe, "x", 1); }), "cannot write"));  // nobody reads
  CHECK(has(message_of([&] { csd::write_file("/dev/full", "x", 1); }), "No space left"));
  CHECK(message_of([&] { csd::write_file("/dev/null", "x", 1); }).empty());

  // A link is replaced, the file behind it stays.
  const std::string target = (folder / "target").string();
  const std::string link = (folder / "link").string();
  csd::write_file(target, "old", 3);
  fs::create_symlink(target, link);
  csd::write_file(link, "new", 3);
  CHECK(csd::read_file(target) == (std::vector<uint8_t>{'o', 'l', 'd'}));
  CHECK(csd::read_file(link) == (std::vector<uint8_t>{'n', 'e', 'w'}));
}

void test_a_limit_on_files(const fs::path& folder) {
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{1000, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string path = (folder / "large.png").string();
  CHECK(has(message_of([&] { csd::write_png(path, noise(100, 100)); }), "ulimit -f"));
  setrlimit(RLIMIT_FSIZE, &before);
  CHECK(!fs::exists(path));
  for (const auto& entry : fs::directory_iterator(folder)) CHECK(entry.path().extension() != ".part");
}

void test_pixel_limit(const fs::path& folder) {
  const std::string path = (folder / "limit.png").string();
  csd::write_png(path, noise(30, 40));
  CHECK(csd::read_image(path, 1200).width == 40);
  CHECK(has(message_of([&] { csd::read_image(path, 1199); }), "more than 1199 pixels"));
  // The header alone says 40000 x 40000: nothing is decoded.
  std::ofstream(folder / "huge.pgm") << "P5 40000 40000 255\n";
  const std::string huge = (folder / "huge.pgm").string();
  CHECK(has(message_of([&] { csd::read_image(huge); }), "more than 400000000 pixels"));
  Blur network(16, 16, 4);
  const csd::Stats stats = csd::run_jobs({{path, path + ".out"}}, {&network}, 4, 100);
  CHECK(stats.failed.size() == 1 && has(stats.failed[0].reason, "more than 100 pixels"));
}

void test_digests(const fs::path& folder) {
  const auto digest = [](const std::string& text) { return csd::sha256({text.begin(), text.end()}); };
  CHECK(digest("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(digest(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");

  const std::string model = (folder / "m.mindir").string();
  std::ofstream(model) << "abc";
  csd::check_digest(model);  // no description: a converted model
  const auto described = [&](const std::string& text) {
    std::ofstream(model + ".json") << text;
    return message_of([&] { csd::check_digest(model); });
  };
  CHECK(described("{\"checkpoint\": {\"sha256\": \"1\"}}").empty());  // of an older version
  CHECK(described("{\"file_sha256\": \"" + digest("abc") + "\"}").empty());
  CHECK(has(described("{\"file_sha256\": \"" + digest("abd") + "\"}"), "is damaged"));
  CHECK(has(described("{\"file_sha256\": 7"), "is damaged"));
}

void test_printable() { CHECK(csd::printable("a\x1b[2J\n\xc3\xa4") == "a\\x1b[2J\\x0a\xc3\xa4"); }

void test_options() {
  const std::vector<std::string> needed{"--model", "m", "--input=i", "--output", "o"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), needed.begin(), needed.end());
    return more;
  };
  const csd::Options options = csd::parse_options(with({"--model", "n", "--batch", "4"}));
  CHECK((options.models == std::vector<std::string>{"m", "n"}));
  CHECK(options.input == "i" && options.output == "o" && options.batch == 4);
  CHECK(options.overlap == 8 && options.device == "CPU");
  CHECK(csd::parse_options({"--help"}).help);
  const auto complaint = [&](std::vector<std::string> more) {
    return message_of([&] { csd::parse_options(with(std::move(more))); });
  };
  CHECK(has(complaint({"--batch", "0"}), "from 1 to"));
  CHECK(has(complaint({"--threads", "2x"}), "'2x'"));
  CHECK(has(complaint({"--overlap"}), "needs a value"));
  CHECK(has(complaint({"--device", "GPU"}), "CPU or Ascend"));
  CHECK(has(complaint({"--max_pixels", "0"}), "from 1 to"));
  CHECK(csd::parse_options(with({"--max_pixels", "1000"})).max_pixels == 1000);
  CHECK(has(complaint({"--tile", "8"}), "unknown argument"));
  CHECK(has(message_of([] { csd::parse_options({"--input", "i", "--output", "o"}); }), "no model"));
}

void test_precision_modes() {
  const auto parse = [](const char* device, const char* mode) {
    return csd::parse_options({"--model", "m", "--input", "i", "--output", "o", "--device", device,
                               "--precision", mode});
  };
  for (const char* mode : {"enforce_fp32", "preferred_fp32", "enforce_fp16", "enforce_origin",
                           "preferred_optimal"}) {
    CHECK(parse("Ascend", mode).precision == mode);
    CHECK(has(csd::usage(), mode));
    CHECK(has(message_of([&] { parse("CPU", mode); }), "for --device Ascend"));
  }
  for (const char* mode : {"fp16", "ENFORCE_FP32", "force_fp16"}) {
    CHECK(has(message_of([&] { parse("Ascend", mode); }), "one of enforce_fp32, preferred_fp32, "));
    CHECK(has(message_of([&] { parse("CPU", mode); }), std::string("not '") + mode + "'"));
  }
  CHECK(has(message_of([&] { parse("Ascend", ""); }), "needs a value"));
}

using Profiles = std::vector<csd::Profile>;

void test_sample_configurations() {
  const auto read = [](const char* name) {
    return csd::read_profiles(std::string(CONFIGS) + "/" + name);
  };
  CHECK((read("batches.cfg") == Profiles{{1, 64, 64}, {4, 64, 64}, {8, 64, 64}}));
  CHECK((read("sizes.cfg") == Profiles{{1, 64, 64}, {1, 120, 160}, {1, 240, 320}}));
  CHECK((read("sizes_and_batches.cfg") ==
         Profiles{{1, 64, 64}, {8, 64, 64}, {1, 120, 160}, {4, 120, 160}}));
}

void test_profiles(const fs::path& folder) {
  CHECK(csd::config_of("a/m_ascend.mindir") == "a/m_ascend.cfg");
  CHECK(csd::config_of("m") == "m.cfg");
  const std::string path = (folder / "m.cfg").string();
  const auto read = [&](const std::string& text) {
    std::ofstream(path) << text;
    return csd::read_profiles(path);
  };
  CHECK(read("# no sizes\n[ascend_context]\nprecision_mode=enforce_fp32\n").empty());
  CHECK((read("[ascend_context]\ninput_shape = 12_g:x:[-1, 3, 8, 9]\r\ndynamic_dims=[2], [3]\r\n") ==
         Profiles{{2, 8, 9}, {3, 8, 9}}));
  // A key counts in its own section alone.
  CHECK(read("[acl_build_options]\ninput_shape=x:-1,3,8,8\ndynamic_dims=[1],[2]\n").empty());
  const auto complaint = [&](const std::string& shape, const std::string& dims) {
    return message_of([&] {
      read("[ascend_context]\ninput_shape=" + shape + "\ndynamic_dims=" + dims + "\n");
    });
  };
  for (const char* dims : {"[1,2],[3]", "[0],[1]", "[1~4]", "1.5", "[a]", "", "[1],,[2]"}) {
    CHECK(has(complaint("x:[-1,3,8,8]", dims), "does not fit input_shape 'x:[-1,3,8,8]'"));
  }
  CHECK(has(complaint("x:[1,3,8,8]", "[1]"), "does not fit"));
  for (const char* shape : {"x:[-1,8,8,3]", "x:[-1,3,8]", "x:[-1,3,0,8]", "x:[-2,3,8,8]", "",
                            "x:[-1,3,8,8];y:[-1,3,8,8]"}) {
    CHECK(has(complaint(shape, "[1],[2]"), "is not one input of (N, 3, H, W)"));
  }
  CHECK(has(message_of([&] { read("[ascend_context]\ndynamic_dims=[1],[2]\n"); }),
            "dynamic_dims needs an input_shape in [ascend_context]"));
  CHECK(has(message_of([&] { csd::read_profiles(path + "x"); }), "No such file"));
}

void test_json_string() { CHECK(csd::json_string("a\"b\\c\n") == "\"a\\\"b\\\\c\\u000a\""); }

}  // namespace

int main() {
  std::string pattern = (fs::temp_directory_path() / "csd_tests.XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return 1;
  const fs::path folder = pattern;
  test_tile_starts();
  test_shares_add_up_to_one();
  test_pixels_near_a_tiles_inner_edge_do_not_count();
  test_tiles_equal_the_whole_image();
  test_batches_that_fit_what_is_left();
  test_smaller_than_a_tile();
  test_mirror();
  test_choice_of_network();
  test_reading(folder);
  test_writing(folder);
  test_jobs(folder);
  test_names_are_different(folder);
  test_special_files(folder);
  test_a_limit_on_files(folder);
  test_pixel_limit(folder);
  test_digests(folder);
  test_printable();
  test_options();
  test_precision_modes();
  test_sample_configurations();
  test_profiles(folder);
  test_json_string();
  fs::remove_all(folder);
  std::printf("%d checks failed\n", failures);
  return failures == 0 ? 0 : 1;
}
