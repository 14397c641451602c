// profile.cpp: see profile.hpp. Callbacks run on the threads of the program, several at once: a lock guards what they
// count, and each thread has its own stack of functions.
#include "profile.hpp"

#include <algorithm>
#include <iomanip>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

using rmon::event;

namespace {

// The functions that this thread is in.
thread_local std::vector<const void *> stack;

constexpr rmon::event_set entering = event::py_start | event::py_resume;
constexpr rmon::event_set leaving = event::py_return | event::py_yield | event::py_unwind;

std::string name_of(const void *code)
{
    const auto known = rmon::describe(code);
    return known ? std::string(known->qualname) + " (" + known->filename + ':' + std::to_string(known->first_line) + ')'
                 : std::string("?");
}

} // namespace

profile::profile() : tool_(rmon::tool::use(rmon::profiler_id, "profile"))
{
    started_ = tool_ ? listen() : tool_.error();
}

rmon::status profile::listen()
{
    for (event which : entering)
        if (const auto how = tool_->on(which, [this](const rmon_event &fired) { enter(fired); }); !ok(how))
            return how;
    for (event which : leaving)
        if (const auto how = tool_->on(which, [this](const rmon_event &fired) { leave(fired); }); !ok(how))
            return how;
    return tool_->set_events(entering | leaving);
}

void profile::enter(const rmon_event &fired)
{
    const void *caller = stack.empty() ? nullptr : stack.back();
    stack.push_back(fired.code);
    const std::lock_guard lock(mutex_);
    function &entered = functions_[fired.code];
    if (!entered.kept)
        entered.kept = rmon::code::retain(fired.code);
    ++(rmon::kind_of(fired) == event::py_start ? entered.started : entered.resumed);
    if (caller != nullptr)
        ++entered.callers[caller];
}

void profile::leave(const rmon_event &fired)
{
    if (!stack.empty())
        stack.pop_back();
    const std::lock_guard lock(mutex_);
    if (rmon::kind_of(fired) == event::py_unwind)
        ++functions_[fired.code].failed;
}

void profile::report(std::ostream &out)
{
    if (tool_)
        tool_->reset(); // from here on no callback runs
    std::vector<std::pair<std::string, const function *>> sorted;
    for (const auto &[code, counts] : functions_)
        sorted.emplace_back(name_of(code), &counts);
    std::sort(sorted.begin(), sorted.end());
    out << "started  resumed  failed  function\n";
    for (const auto &[name, counts] : sorted) {
        out << std::setw(7) << counts->started << std::setw(9) << counts->resumed << std::setw(8) << counts->failed
            << "  " << name << '\n';
        std::vector<std::pair<std::string, long>> callers;
        for (const auto &[code, count] : counts->callers)
            callers.emplace_back(name_of(code), count);
        std::sort(callers.begin(), callers.end());
        for (const auto &[caller, count] : callers)
            out << std::setw(7) << count << "                   by " << caller << '\n';
    }
}
