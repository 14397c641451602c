// scheduler.cpp: runs jobs, and reports to tools. What concerns tools is in add() and in step().
#include "scheduler.hpp"

#include <algorithm>
#include <stdexcept>
#include <thread>

using rmon::event;

namespace {

// One array of states serves all jobs and threads.
rmon::scope_states<event::py_start, event::py_resume, event::py_yield, event::py_return, event::raise,
                   event::py_unwind>
    states;

// A tool that fails wants the program to stop: here, the job.
void must(rmon::status fired)
{
    if (!ok(fired))
        throw std::runtime_error("stopped by a tool");
}

} // namespace

scheduler::number scheduler::add(const char *name, std::vector<number> after, work does, int line)
{
    auto code = rmon::code::make(name, file_, line);
    if (!code)
        throw std::runtime_error(rmon::message(code.error()));
    jobs_.push_back({name, std::move(after), std::move(does), *std::move(code)});
    return jobs_.size() - 1;
}

// Has a job do a part of its work. Its offsets count nothing: a job is one place.
scheduler::outcome scheduler::step(job &current)
{
    rmon::scope guard(states, current.code);
    try {
        must(current.has_started ? guard.py_resume(0) : guard.py_start(0));
        current.has_started = true;
        const outcome said = current.does();
        must(said == outcome::again ? guard.py_yield(0) : guard.py_return(0));
        return said;
    } catch (const std::exception &error) {
        (void)guard.raise(0, &error);
        (void)guard.py_unwind(0, &error);
        throw;
    }
}

bool scheduler::any_after(const job &waiting) const
{
    return std::any_of(waiting.after.begin(), waiting.after.end(), [this](number other) {
        return jobs_[other].is == fate::failed || jobs_[other].is == fate::left_out;
    });
}

bool scheduler::all_after(const job &waiting, fate wanted) const
{
    return std::all_of(waiting.after.begin(), waiting.after.end(),
                       [this, wanted](number other) { return jobs_[other].is == wanted; });
}

// A job that can go on, and that nobody is in. The lock is held.
scheduler::job *scheduler::find_ready()
{
    for (job &one : jobs_) {
        if (one.is != fate::waiting || one.is_running)
            continue;
        if (any_after(one))
            one.is = fate::left_out;
        else if (all_after(one, fate::done))
            return &one;
    }
    return nullptr;
}

bool scheduler::is_over() const
{
    return std::none_of(jobs_.begin(), jobs_.end(), [](const job &one) { return one.is == fate::waiting; });
}

void scheduler::work_along()
{
    std::unique_lock lock(mutex_);
    for (;;) {
        job *current = nullptr;
        changed_.wait(lock, [&] { return (current = find_ready()) != nullptr || is_over(); });
        if (current == nullptr)
            break;
        current->is_running = true;
        lock.unlock();
        fate now = fate::waiting;
        std::string error;
        try {
            now = step(*current) == outcome::done ? fate::done : fate::waiting;
        } catch (const std::exception &thrown) {
            now = fate::failed;
            error = thrown.what();
        }
        lock.lock();
        current->is = now;
        current->error = std::move(error);
        current->is_running = false;
        changed_.notify_all();
    }
    changed_.notify_all();
}

void scheduler::run(unsigned threads)
{
    std::vector<std::thread> workers;
    for (unsigned i = 0; i < threads; ++i)
        workers.emplace_back([this] { work_along(); });
    for (std::thread &worker : workers)
        worker.join();
}

void scheduler::each(const std::function<void(const std::string &, fate, const std::string &)> &callback) const
{
    for (const job &one : jobs_)
        callback(one.name, one.is, one.error);
}
