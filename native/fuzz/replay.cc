// A target without a fuzzer, for any compiler: runs its seeds, each of them spoilt in many ways, and the files of the folders that are
// named, such as kept findings. With --seeds FOLDER it writes the seeds there, for a fuzzer to begin with.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "input.h"

namespace {

constexpr int kSpoilt = 300;  // of each seed

void run(const Bytes& input) { LLVMFuzzerTestOneInput(input.data(), input.size()); }

Bytes spoilt(Bytes bytes, pennyweight::fuzz::Random& random) {
    for (uint32_t hits = 1 + random.below(3); hits > 0 && !bytes.empty(); --hits) {
        const uint32_t at = random.below(static_cast<uint32_t>(random.below(2) ? bytes.size() : std::min<size_t>(bytes.size(), 16)));
        switch (random.below(4)) {
            case 0: bytes[at] ^= static_cast<uint8_t>(1u << random.below(8)); break;
            case 1: bytes[at] = static_cast<uint8_t>(random.next()); break;
            case 2: bytes.insert(bytes.begin() + at, static_cast<uint8_t>(random.next())); break;
            default: bytes.resize(random.below(static_cast<uint32_t>(bytes.size()) + 1));
        }
    }
    return bytes;
}

}  // namespace

int main(int n_arguments, char** arguments) {
    const std::vector<Bytes> valid = seeds();
    if (n_arguments == 3 && std::string(arguments[1]) == "--seeds") {
        std::filesystem::create_directories(arguments[2]);
        for (size_t i = 0; i < valid.size(); ++i) {
            std::ofstream file(std::filesystem::path(arguments[2]) / ("seed-" + std::to_string(i)), std::ios::binary);
            file.write(reinterpret_cast<const char*>(valid[i].data()), static_cast<std::streamsize>(valid[i].size()));
            if (!file) return 1;
        }
        return 0;
    }
    size_t inputs = 0;
    pennyweight::fuzz::Random random{1};
    for (const Bytes& seed : valid) {
        const size_t before = pennyweight::fuzz::accepted;
        run(seed);
        pennyweight::fuzz::demand(pennyweight::fuzz::accepted > before,
                                  "a seed that is not accepted:", std::to_string(&seed - valid.data()).c_str());
        for (int i = 0; i < kSpoilt; ++i) run(spoilt(seed, random));
        inputs += 1 + kSpoilt;
    }
    for (int i = 1; i < n_arguments; ++i) {
        if (!std::filesystem::exists(arguments[i])) continue;  // nothing was ever found
        for (const auto& entry : std::filesystem::recursive_directory_iterator(arguments[i])) {
            if (!entry.is_regular_file()) continue;
            std::ifstream file(entry.path(), std::ios::binary);
            run(Bytes(std::istreambuf_iterator<char>(file), {}));
            ++inputs;
        }
    }
    std::printf("%zu inputs, %zu accepted\n", inputs, pennyweight::fuzz::accepted);
    return 0;
}
