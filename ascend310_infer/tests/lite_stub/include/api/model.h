// What csd_infer uses of MindSpore Lite's model.h.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "include/api/context.h"
#include "include/api/status.h"
#include "include/api/types.h"

namespace mindspore {

class ModelImpl;

class Model {
 public:
  Model();
  ~Model();
  Model(const Model&) = delete;
  void operator=(const Model&) = delete;

  Status Build(const std::string& path, ModelType type, const std::shared_ptr<Context>& context);
  Status Resize(const std::vector<MSTensor>& inputs, const std::vector<std::vector<int64_t>>& dims);
  Status Predict(const std::vector<MSTensor>& inputs, std::vector<MSTensor>* outputs);
  std::vector<MSTensor> GetInputs();

 private:
  std::unique_ptr<ModelImpl> impl_;
};

}  // namespace mindspore
