// profile.hpp: a profiler that counts: how often each function was started, resumed and left by an exception, and by
// whom it was called. It knows of rmon and of nothing else.
#pragma once

#include <rmon.hpp>

#include <cstddef>
#include <iosfwd>
#include <map>
#include <mutex>

class profile {
public:
    // Counts from now on. If that cannot be, e.g. since there is another profiler, started() says why.
    profile();
    // Callbacks have its address.
    profile(const profile &) = delete;
    profile &operator=(const profile &) = delete;

    [[nodiscard]] rmon::status started() const { return started_; }

    // Ends counting, and prints.
    void report(std::ostream &out);

private:
    struct function {
        rmon::code kept{}; // while it is kept, its address is nobody else's
        long started = 0, resumed = 0, failed = 0;
        std::map<const void *, long> callers{}; // by their codes
    };

    rmon::status listen();
    void enter(const rmon_event &fired);
    void leave(const rmon_event &fired);

    std::mutex mutex_{};
    std::map<const void *, function> functions_{}; // by their codes
    rmon::status started_ = rmon::status::ok;
    rmon::result<rmon::tool> tool_; // the last: it ends first, and with it all use of the others
};
