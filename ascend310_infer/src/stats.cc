#include "stats.h"

#include <cstdio>
#include <numeric>

namespace csd {
namespace {

template <typename... Values>
std::string format(const char* pattern, Values... values) {
  char text[512];
  std::snprintf(text, sizeof(text), pattern, values...);
  return text;
}

std::string times(const Timing& timing) {
  return format("\"before_ms\": %.3f, \"inference_ms\": %.3f, \"after_ms\": %.3f, \"tiles\": %d",
                timing.before, timing.inference, timing.after, timing.tiles);
}

}  // namespace

std::string json_string(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      quoted += format("\\u%04x", static_cast<unsigned>(static_cast<unsigned char>(c)));
    } else {
      quoted += c;
    }
  }
  return quoted + '"';
}

std::string printable(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    escaped += byte < 0x20 || byte == 0x7f ? format("\\x%02x", byte) : std::string(1, c);
  }
  return escaped;
}

Done Stats::total() const {
  return std::accumulate(done.begin(), done.end(), Done{}, [](Done sum, const Done& item) {
    sum.megapixels += item.megapixels;
    sum.timing.before += item.timing.before;
    sum.timing.inference += item.timing.inference;
    sum.timing.after += item.timing.after;
    sum.timing.tiles += item.timing.tiles;
    return sum;
  });
}

std::string Stats::line(const Done& item) const {
  return item.output +
         format(": %d x %d, tiles %d, before %.1f ms, inference %.1f ms, after %.1f ms", item.height,
                item.width, item.timing.tiles, item.timing.before, item.timing.inference,
                item.timing.after);
}

std::string Stats::summary() const {
  const Done sum = total();
  const double seconds_or_more = seconds > 0.0 ? seconds : 1e-9;
  return format(
      "%zu written, %zu failed in %.2f s: before %.1f ms, inference %.1f ms, after %.1f ms; "
      "%.2f images/s, %.2f output megapixels/s",
      done.size(), failed.size(), seconds, sum.timing.before, sum.timing.inference,
      sum.timing.after, static_cast<double>(done.size()) / seconds_or_more,
      sum.megapixels / seconds_or_more);
}

std::string Stats::json() const {
  const Done sum = total();
  const double seconds_or_more = seconds > 0.0 ? seconds : 1e-9;
  std::string text = "{\n  \"device\": " + json_string(device) + ",\n  \"models\": [";
  for (size_t i = 0; i < models.size(); ++i) {
    text += (i == 0 ? "" : ", ") + json_string(models[i]);
  }
  text += "],\n  \"images\": [";
  for (size_t i = 0; i < done.size(); ++i) {
    const Done& item = done[i];
    text += (i == 0 ? "\n" : ",\n");
    text += "    {\"input\": " + json_string(item.input) +
            ", \"output\": " + json_string(item.output) +
            format(", \"height\": %d, \"width\": %d, ", item.height, item.width) +
            times(item.timing) + "}";
  }
  text += "\n  ],\n  \"failed\": [";
  for (size_t i = 0; i < failed.size(); ++i) {
    text += (i == 0 ? "\n" : ",\n");
    text += "    {\"input\": " + json_string(failed[i].input) +
            ", \"reason\": " + json_string(failed[i].reason) + "}";
  }
  text += "\n  ],\n  \"total\": {" + times(sum.timing) +
          format(", \"images\": %zu, \"failed\": %zu, \"seconds\": %.4f, \"images_per_second\": "
                 "%.4f, \"megapixels_per_second\": %.4f}\n}\n",
                 done.size(), failed.size(), seconds,
                 static_cast<double>(done.size()) / seconds_or_more,
                 sum.megapixels / seconds_or_more);
  return text;
}

}  // namespace csd
