// A board in Verilator: its serial pins are the other end of a pseudo-terminal.
//
// Arguments: clocks of a bit that the host sends, and of one that the board sends. Prints the
// terminal's name, then runs until it is killed. While nothing moves it lets time pass slowly, so
// that it does not keep a processor busy.

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <deque>

#include "pins.h"
#include "verilated.h"

namespace {

constexpr uint64_t BUSY_CLOCKS = 400000;  // after the last byte: the board may be computing
constexpr int NAP_CLOCKS = 2000;          // that pass in a nap
constexpr int NAP_MILLISECONDS = 2;

// Bits on their way to the board.
struct Sender {
    int clocks;
    std::deque<uint8_t> bytes;
    int bit = 10, left = 0;
    uint8_t current = 0;

    bool busy() const { return bit < 10 || !bytes.empty(); }

    int level() {
        if (left == 0) {
            left = clocks;
            if (bit < 10) ++bit;
            if (bit == 10 && !bytes.empty()) bit = 0;
            if (bit == 1) current = bytes.front(), bytes.pop_front();
        }
        --left;
        if (bit == 0) return 0;
        return bit >= 1 && bit <= 8 ? current >> (bit - 1) & 1 : 1;
    }
};

// Bits that come from the board.
struct Receiver {
    int clocks;
    int bit = -1, left = 0;
    uint8_t shifted = 0;

    // Whether a byte is whole.
    bool take(int level) {
        if (bit < 0) {
            if (level == 0) bit = 0, left = clocks + clocks / 2;
            return false;
        }
        if (--left > 0) return false;
        left = clocks;
        if (bit == 8) {
            bit = -1;
            return level == 1;
        }
        shifted = static_cast<uint8_t>(shifted >> 1 | level << 7);
        ++bit;
        return false;
    }
};

int terminal() {
    const int fd = posix_openpt(O_RDWR | O_NOCTTY);
    if (fd < 0 || grantpt(fd) || unlockpt(fd)) return -1;
    const int other = open(ptsname(fd), O_RDWR | O_NOCTTY);  // stays open: hosts come and go
    termios settings;
    if (other < 0 || tcgetattr(other, &settings)) return -1;
    cfmakeraw(&settings);
    if (tcsetattr(other, TCSANOW, &settings)) return -1;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    const int fd = terminal();
    if (fd < 0) return 3;
    std::printf("%s\n", ptsname(fd));
    std::fflush(stdout);

    VerilatedContext context;
    Top top{&context};
    Sender sender{std::atoi(argv[1])};
    Receiver receiver{std::atoi(argv[2])};
    idle_pins(top);
    uint64_t quiet = 0;
    for (uint64_t clock = 0;; ++clock) {
        if (clock % 256 == 0 && !sender.busy()) {
            uint8_t piece[4096];
            const ssize_t count = read(fd, piece, sizeof piece);
            for (ssize_t k = 0; k < count; ++k) sender.bytes.push_back(piece[k]);
        }
        if (clock % NAP_CLOCKS == 0) {
            pollfd waits{fd, POLLIN, 0};
            if (quiet > BUSY_CLOCKS) poll(&waits, 1, NAP_MILLISECONDS);
        }
        top.clock = 0;
        top.rx = static_cast<uint8_t>(sender.level());
        top.eval();
        ++quiet;
        if (sender.busy() || receiver.bit >= 0) quiet = 0;
        if (receiver.take(top.tx)) {
            while (write(fd, &receiver.shifted, 1) < 0) usleep(1000);
        }
        top.clock = 1;
        top.eval();
    }
}
