// Reading, inference and writing at the same time, each in its own thread.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "image.h"
#include "network.h"
#include "stats.h"

namespace csd {

// A queue between two threads that holds at most `capacity` items, so that memory stays flat
// however many images a folder has.
template <typename T>
class Queue {
 public:
  explicit Queue(size_t capacity) : capacity_(capacity) {}

  void push(T item) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return items_.size() < capacity_; });
    items_.push_back(std::move(item));
    changed_.notify_all();
  }

  // No more items will come.
  void close() {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    changed_.notify_all();
  }

  // The next item; none when the queue is closed and empty.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !items_.empty() || closed_; });
    if (items_.empty()) return std::nullopt;
    std::optional<T> item(std::move(items_.front()));
    items_.pop_front();
    changed_.notify_all();
    return item;
  }

 private:
  const size_t capacity_;
  std::deque<T> items_;
  bool closed_ = false;
  std::mutex mutex_;
  std::condition_variable changed_;
};

// One image to do.
struct Job {
  std::string input;
  std::string output;
};

// The jobs of a file or of a folder (sorted, not recursive, hidden files and other suffixes left
// out): <output>/<name>.png, or <output>/<name>.<suffix>.png where two would share a name; no two
// outputs are the same file.
// Throws Error when there is nothing to do.
std::vector<Job> list_jobs(const std::string& input, const std::string& output);

// Makes the output folder and checks that files can be written there. Throws Error.
void prepare_output(const std::string& folder);

// Does all jobs, of images of at most `max_pixels` whose outputs fit in memory, printing a line for each to standard output and one for each failure to standard
// error; a failed job stops no other.
Stats run_jobs(const std::vector<Job>& jobs, const std::vector<Network*>& networks, int overlap,
               int64_t max_pixels = default_max_pixels);

}  // namespace csd
