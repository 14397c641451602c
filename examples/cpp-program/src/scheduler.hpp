// scheduler.hpp: jobs that depend on each other, run by some threads. To tools a job is a function: it starts, yields
// when it has done a part of its work, is resumed, and returns or fails.
#pragma once

#include <rmon.hpp>

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

class scheduler {
public:
    // What a job says when it comes back: it is done, or is to be called again.
    enum class outcome { done, again };
    // What has become of a job. One is left out if one that it comes after has failed.
    enum class fate { waiting, done, failed, left_out };
    using work = std::function<outcome()>;
    using number = std::size_t;

    // `file` is where the jobs are, for tools to say.
    explicit scheduler(const char *file) : file_(file) {}

    // Adds a job that runs after others, which have been added before.
    number add(const char *name, std::vector<number> after, work does, int line = __builtin_LINE());

    // Runs all jobs; returns when none is left.
    void run(unsigned threads);

    // For each job, in the order in which they were added: name, fate, and why it failed.
    void each(const std::function<void(const std::string &, fate, const std::string &)> &callback) const;

private:
    struct job {
        std::string name;
        std::vector<number> after;
        work does;
        rmon::code code; // what it is to tools
        fate is = fate::waiting;
        bool is_running = false, has_started = false;
        std::string error{};
    };

    static outcome step(job &current);
    void work_along();
    job *find_ready();
    bool is_over() const;
    bool all_after(const job &waiting, fate wanted) const;
    bool any_after(const job &waiting) const;

    const char *file_;
    std::deque<job> jobs_{};
    std::mutex mutex_{};
    std::condition_variable changed_{};
};
