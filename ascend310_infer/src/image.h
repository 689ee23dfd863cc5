// Images: uint8 RGB, read from any file that OpenCV decodes, written as PNG.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace csd {

// The most pixels of an input, as in the Python programs.
constexpr int64_t default_max_pixels = 400000000;

struct Image {
  int height = 0;
  int width = 0;
  std::vector<uint8_t> rgb;  // height * width * 3, rows from the top, interleaved
};

// Reads an image upright. Grey becomes three channels, of 16 bits the high byte counts, alpha is
// dropped: the same as the Python side does. Throws Error for a file that is missing, empty, cut
// short, no regular file, no image, or of more than `max_pixels`. OpenCV knows the size before it
// decodes but keeps it to itself: its own limit (limit_decoder) saves the memory.
Image read_image(const std::string& path, int64_t max_pixels = default_max_pixels);

// Writes a PNG under a temporary name, then renames it. Throws Error.
void write_png(const std::string& path, const Image& image);

// Whether the bytes of a JPEG file continue to its end-of-image marker. libjpeg fills what is missing
// with grey and OpenCV reports nothing.
bool jpeg_is_whole(const std::vector<uint8_t>& bytes);

}  // namespace csd
