#include "image.h"

#include <new>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>

#include "files.h"
#include "network.h"

namespace csd {
namespace {

bool is_jpeg(const std::vector<uint8_t>& bytes) {
  return bytes.size() > 2 && bytes[0] == 0xFF && bytes[1] == 0xD8;
}

std::string too_large(const std::string& path, int64_t max_pixels) {
  return path + " has more than " + std::to_string(max_pixels) +
         " pixels: more than --max_pixels, than 1000000000 when upscaled, or than a million in a "
         "row or column; cut it into smaller images";
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

Image read_image(const std::string& path, int64_t max_pixels) {
  const std::vector<uint8_t> bytes = read_file(path);
  if (bytes.empty()) throw Error(path + " is empty (0 bytes)");
  const std::string damaged =
      path + " cannot be read as an image: it is damaged, cut short or of another kind";
  if (is_jpeg(bytes) && !jpeg_is_whole(bytes)) throw Error(damaged);
  cv::Mat bgr;
  try {
    bgr = cv::imdecode(bytes, cv::IMREAD_COLOR);
  } catch (const cv::Exception& problem) {
    if (problem.code == cv::Error::StsNoMem) throw std::bad_alloc();
    const bool large = problem.err.find("CV_IO_MAX_IMAGE") != std::string::npos;
    throw Error(large ? too_large(path, max_pixels) : damaged);
  }
  if (bgr.empty() || bgr.type() != CV_8UC3) throw Error(damaged);
  if (static_cast<int64_t>(bgr.total()) > max_pixels) throw Error(too_large(path, max_pixels));
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
  } catch (const cv::Exception& problem) {
    if (problem.code == cv::Error::StsNoMem) throw std::bad_alloc();
    bytes.clear();
  }
  if (bytes.empty()) throw Error(path + ": the PNG encoder failed");
  write_file(path, bytes.data(), bytes.size());
}

}  // namespace csd
