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

[[noreturn]] void fail(const std::string& name) {
    std::fprintf(stderr, "error: %s cannot be read or written\n", name.c_str());
    std::exit(2);
}

std::FILE* open_file(const std::string& name, const char* mode) {
    std::FILE* file = std::fopen((folder + "/" + name).c_str(), mode);
    if (file == nullptr) fail(name);
    return file;
}

template <class T>
void append(std::FILE* file, const std::vector<T>& data) {
    if (std::fwrite(data.data(), sizeof(T), data.size(), file) != data.size()) fail("a file");
}

void close_file(std::FILE* file) {
    if (std::fclose(file) != 0) fail("a file");
}

template <class T>
std::vector<T> load(const std::string& name) {
    std::FILE* file = open_file(name, "rb");
    std::fseek(file, 0, SEEK_END);
    std::vector<T> data(static_cast<size_t>(std::ftell(file)) / sizeof(T));
    std::rewind(file);
    if (std::fread(data.data(), sizeof(T), data.size(), file) != data.size()) fail(name);
    close_file(file);
    return data;
}

template <class T>
void store(const std::string& name, const std::vector<T>& data) {
    std::FILE* file = open_file(name, "wb");
    append(file, data);
    close_file(file);
}

}  // namespace
