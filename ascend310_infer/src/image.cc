#include "image.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "network.h"

namespace csd {
namespace {

std::vector<uint8_t> read_bytes(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "rb");
  if (file == nullptr) throw Error(path + ": " + std::strerror(errno));
  std::vector<uint8_t> bytes;
  uint8_t block[1 << 16];
  size_t got = 0;
  while ((got = std::fread(block, 1, sizeof(block), file)) > 0) {
    bytes.insert(bytes.end(), block, block + got);
  }
  const bool failed = std::ferror(file) != 0;
  const int reason = errno;
  std::fclose(file);
  if (failed) throw Error(path + ": " + std::strerror(reason));
  if (bytes.empty()) throw Error(path + " is empty (0 bytes)");
  return bytes;
}

bool write_all(std::FILE* file, const std::vector<uint8_t>& bytes) {
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  const bool flushed = std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  return std::fclose(file) == 0 && written && flushed;
}

bool is_jpeg(const std::vector<uint8_t>& bytes) {
  return bytes.size() > 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

}  // namespace

bool jpeg_is_whole(const std::vector<uint8_t>& bytes) {
  size_t at = 2;  // behind the start-of-image marker
  while (at + 1 < bytes.size()) {
    if (bytes[at] != 0xFF) {  // entropy-coded data between markers
      ++at;
      continue;
    }
    const uint8_t marker = bytes[at + 1];
    if (marker == 0xD9) return true;
    if (marker == 0xFF) {  // fill byte
      ++at;
    } else if (marker == 0x00 || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
      at += 2;  // a stuffed zero, or a marker without a segment
    } else {
      if (at + 3 >= bytes.size()) return false;
      at += 2 + (static_cast<size_t>(bytes[at + 2]) << 8 | bytes[at + 3]);
    }
  }
  return false;
}

Image read_image(const std::string& path) {
  const std::vector<uint8_t> bytes = read_bytes(path);
  const std::string damaged =
      path + " cannot be read as an image: it is damaged, cut short or of another kind";
  if (is_jpeg(bytes) && !jpeg_is_whole(bytes)) throw Error(damaged);
  cv::Mat bgr;
  try {
    bgr = cv::imdecode(bytes, cv::IMREAD_COLOR);
  } catch (const cv::Exception&) {
    throw Error(damaged + ", or has too many pixels");
  }
  if (bgr.empty() || bgr.type() != CV_8UC3) throw Error(damaged);
  Image image{bgr.rows, bgr.cols, std::vector<uint8_t>(bgr.total() * 3)};
  uint8_t* to = image.rgb.data();
  for (int y = 0; y < bgr.rows; ++y) {
    const uint8_t* from = bgr.ptr<uint8_t>(y);
    for (int x = 0; x < bgr.cols; ++x, from += 3, to += 3) {
      to[0] = from[2];
      to[1] = from[1];
      to[2] = from[0];
    }
  }
  return image;
}

void write_png(const std::string& path, const Image& image) {
  cv::Mat bgr(image.height, image.width, CV_8UC3);
  const uint8_t* from = image.rgb.data();
  for (int y = 0; y < image.height; ++y) {
    uint8_t* to = bgr.ptr<uint8_t>(y);
    for (int x = 0; x < image.width; ++x, from += 3, to += 3) {
      to[0] = from[2];
      to[1] = from[1];
      to[2] = from[0];
    }
  }
  std::vector<uint8_t> bytes;
  try {
    // Level 1: a third larger than level 6 and several times as fast.
    if (!cv::imencode(".png", bgr, bytes, {cv::IMWRITE_PNG_COMPRESSION, 1})) bytes.clear();
  } catch (const cv::Exception&) {
    bytes.clear();
  }
  if (bytes.empty()) throw Error(path + ": the PNG encoder failed");
  const size_t slash = path.rfind('/') + 1;  // npos + 1 is 0
  const std::string partial = path.substr(0, slash) + "." + path.substr(slash) + "." +
                              std::to_string(getpid()) + ".part";
  std::FILE* file = std::fopen(partial.c_str(), "wb");
  if (file == nullptr) throw Error("cannot write " + path + ": " + std::strerror(errno));
  if (!write_all(file, bytes) || std::rename(partial.c_str(), path.c_str()) != 0) {
    const int reason = errno;
    std::remove(partial.c_str());
    throw Error("cannot write " + path + ": " + std::strerror(reason));
  }
}

}  // namespace csd
