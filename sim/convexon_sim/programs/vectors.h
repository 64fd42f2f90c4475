// Vectors as files of one folder: what a Verilator program of this package reads and writes.
//
// A file that cannot be read or written ends the program with a line and exit code 2.

#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

std::string folder;

template <class T>
std::vector<T> load(const std::string& name) {
    std::FILE* file = std::fopen((folder + "/" + name).c_str(), "rb");
    if (file == nullptr) {
        std::fprintf(stderr, "error: %s cannot be read\n", name.c_str());
        std::exit(2);
    }
    std::fseek(file, 0, SEEK_END);
    std::vector<T> data(static_cast<size_t>(std::ftell(file)) / sizeof(T));
    std::rewind(file);
    if (std::fread(data.data(), sizeof(T), data.size(), file) != data.size()) std::exit(2);
    std::fclose(file);
    return data;
}

template <class T>
void store(const std::string& name, const std::vector<T>& data) {
    std::FILE* file = std::fopen((folder + "/" + name).c_str(), "wb");
    if (file == nullptr || std::fwrite(data.data(), sizeof(T), data.size(), file) != data.size() ||
        std::fclose(file) != 0) {
        std::fprintf(stderr, "error: %s cannot be written\n", name.c_str());
        std::exit(2);
    }
}

}  // namespace
