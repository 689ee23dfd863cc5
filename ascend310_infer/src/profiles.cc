#include "profiles.h"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <map>

#include "network.h"

namespace csd {
namespace {

using Settings = std::map<std::string, std::string>;  // "[section] key" -> value

std::string trimmed(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::string unquoted(const std::string& text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

Settings read_settings(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(path + ": " + std::strerror(errno));
  Settings settings;
  std::string section;
  for (std::string line; std::getline(file, line);) {
    line = trimmed(line);
    if (line.empty() || line.front() == '#') continue;
    if (line.front() == '[' && line.back() == ']') {
      section = line;
    } else if (const size_t equals = line.find('='); equals != std::string::npos) {
      settings[section + " " + trimmed(line.substr(0, equals))] =
          unquoted(trimmed(line.substr(equals + 1)));
    }
  }
  return settings;
}

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  for (size_t start = 0; start <= text.size();) {
    const size_t end = std::min(text.find(at, start), text.size());
    parts.push_back(trimmed(text.substr(start, end - start)));
    start = end + 1;
  }
  return parts;
}

// "1,64,64" -> {1, 64, 64}; nothing at all when a part is no whole number.
std::vector<int> integers(const std::string& text) {
  std::vector<int> numbers;
  for (const std::string& part : split(text, ',')) {
    int number = 0;
    const char* end = part.data() + part.size();
    const auto [stop, problem] = std::from_chars(part.data(), end, number);
    if (problem != std::errc() || stop != end) return {};
    numbers.push_back(number);
  }
  return numbers;
}

// The bracketed form of [ascend_context] in the other one's: "[1,2],[3,4]" -> "1,2;3,4".
std::string without_brackets(std::string text) {
  text.erase(std::remove(text.begin(), text.end(), ' '), text.end());
  for (size_t at; (at = text.find("],[")) != std::string::npos;) text.replace(at, 3, ";");
  text.erase(std::remove_if(text.begin(), text.end(), [](char c) { return c == '[' || c == ']'; }),
             text.end());
  return text;
}

// Each group of `dims` takes the places of the -1 in `shape`.
std::vector<Profile> filled(const std::string& path, const std::string& input_shape,
                            const std::string& dims) {
  const std::string name_and_shape = without_brackets(input_shape);
  const std::vector<int> shape = integers(name_and_shape.substr(name_and_shape.rfind(':') + 1));
  const auto fits = [](int side) { return side == -1 || side >= 1; };
  if (input_shape.find(';') != std::string::npos || shape.size() != 4 || shape[1] != 3 ||
      !fits(shape[0]) || !fits(shape[2]) || !fits(shape[3])) {
    throw Error(path + ": input_shape '" + input_shape + "' is not one input of (N, 3, H, W)");
  }
  std::vector<Profile> profiles;
  for (const std::string& group : split(without_brackets(dims), ';')) {
    std::vector<int> sizes = integers(group);
    const auto open = static_cast<size_t>(std::count(shape.begin(), shape.end(), -1));
    const bool positive = std::all_of(sizes.begin(), sizes.end(), [](int n) { return n >= 1; });
    if (open == 0 || sizes.size() != open || !positive) {
      throw Error(path + ": dynamic_dims '" + dims + "' does not fit input_shape '" + input_shape +
                  "'");
    }
    std::vector<int> full = shape;
    auto next = sizes.begin();
    for (int& side : full) {
      if (side == -1) side = *next++;
    }
    profiles.push_back({full[0], full[2], full[3]});
  }
  return profiles;
}

}  // namespace

std::string config_of(const std::string& model) {
  const std::string suffix = ".mindir";
  const bool usual = model.size() >= suffix.size() &&
                     model.compare(model.size() - suffix.size(), suffix.size(), suffix) == 0;
  return (usual ? model.substr(0, model.size() - suffix.size()) : model) + ".cfg";
}

std::vector<Profile> read_profiles(const std::string& path) {
  const Settings settings = read_settings(path);
  for (const auto& [section, key] : {std::pair{"[ascend_context]", "dynamic_dims"},
                                     std::pair{"[acl_build_options]", "ge.dynamicDims"}}) {
    const auto dims = settings.find(std::string(section) + " " + key);
    if (dims == settings.end()) continue;
    const auto shape = settings.find(std::string(section) + " input_shape");
    if (shape == settings.end()) {
      throw Error(path + ": " + key + " needs an input_shape in " + section);
    }
    return filled(path, shape->second, dims->second);
  }
  return {};
}

}  // namespace csd
