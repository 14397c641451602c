// main.cpp: some jobs on texts, run by two threads; with --profile, what ran how often.
#include "profile.hpp"
#include "scheduler.hpp"

#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

using rmon::event;

namespace {

const char *const texts[] = {
    "the quick brown fox jumps over the lazy dog",
    "pack my box with five dozen liquor jugs",
    "how vexingly quick daft zebras jump",
    "",
};

// A function that tools see: a code, made once, and a guard.
std::vector<std::string> words_of(const std::string &text)
{
    static rmon::scope_states<event::py_start, event::py_return, event::py_unwind> states;
    static const auto code = rmon::code::make("words_of", "main.cpp", __LINE__ - 3);
    rmon::function_scope guard(states, code ? code->get() : nullptr);
    std::istringstream in(text);
    std::vector<std::string> words;
    for (std::string word; in >> word;)
        words.push_back(word);
    if (words.empty())
        throw std::runtime_error("a text without words");
    return words;
}

// A job that does one text at a time: each time it is called.
template <class Each>
scheduler::work on_each(const std::vector<std::string> &all, Each each)
{
    return [&all, each, index = std::size_t{0}]() mutable {
        each(all[index++]);
        return index < all.size() ? scheduler::outcome::again : scheduler::outcome::done;
    };
}

void work()
{
    std::vector<std::string> read;
    std::size_t count = 0, letters = 0;
    std::string longest;
    scheduler jobs("main.cpp");
    const auto reading = jobs.add("read", {}, [&read] {
        read.emplace_back(texts[read.size()]);
        return read.size() < 3 ? scheduler::outcome::again : scheduler::outcome::done;
    });
    const auto counting = jobs.add("count", {reading}, on_each(read, [&count](const std::string &text) {
        count += words_of(text).size();
    }));
    const auto searching = jobs.add("longest", {reading}, on_each(read, [&longest](const std::string &text) {
        for (const std::string &word : words_of(text))
            longest = word.size() > longest.size() ? word : longest;
    }));
    jobs.add("letters", {counting, searching}, [&] {
        for (const std::string &text : read)
            for (char c : text)
                letters += c != ' ' ? 1 : 0;
        return scheduler::outcome::done;
    });
    const auto last = jobs.add("last text", {counting}, [] {
        words_of(texts[3]);
        return scheduler::outcome::done;
    });
    jobs.add("publish", {last}, [] { return scheduler::outcome::done; });
    jobs.run(2);
    jobs.each([](const std::string &name, scheduler::fate is, const std::string &why) {
        static const char *const fates[] = {"waiting", "done", "failed", "left out"};
        std::cout << name << ": " << fates[static_cast<int>(is)] << (why.empty() ? "" : ": ") << why << '\n';
    });
    std::cout << count << " words, " << letters << " letters, longest: " << longest << '\n';
}

} // namespace

int main(int argc, char **argv)
{
    try {
        std::optional<profile> profiling;
        if (argc > 1 && std::strcmp(argv[1], "--profile") == 0) {
            profiling.emplace();
            if (!ok(profiling->started())) {
                std::cerr << "no profile: " << rmon::message(profiling->started()) << '\n';
                return 1;
            }
        }
        work();
        if (profiling)
            profiling->report(std::cout << '\n');
    } catch (const std::exception &error) {
        std::cerr << error.what() << '\n';
        return 1;
    }
}
