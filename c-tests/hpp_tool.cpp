// hpp_tool.cpp: rmon.hpp's tools: who owns an id, what can be a callback, and when callables are destroyed.
#include <rmon.hpp>

#include "check.h"
#include "waiting.h"

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using rmon::answer;
using rmon::event;
using rmon::status;
using rmon::tool;

// ---- memory that is counted, and that can be exhausted ----

namespace {
std::atomic<int> allocations{0};
std::atomic<bool> exhausted{false};
} // namespace

// Not inline: gcc would see through one half of a pair and complain of the other.
[[gnu::noinline]] void *operator new(std::size_t size, const std::nothrow_t &) noexcept
{
    ++allocations;
    return exhausted ? nullptr : std::malloc(size);
}

[[gnu::noinline]] void *operator new[](std::size_t size, const std::nothrow_t &) noexcept
{
    return operator new(size, std::nothrow);
}

[[gnu::noinline]] void *operator new(std::size_t size)
{
    ++allocations;
    void *memory = std::malloc(size);
    if (memory == nullptr)
        throw std::bad_alloc();
    return memory;
}

// And what those of arrays come down to.
[[gnu::noinline]] void operator delete(void *memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void *memory, const std::nothrow_t &) noexcept { std::free(memory); }

namespace {

// Not under valgrind, which puts operators of its own in the place of all others.
bool memory_is_ours()
{
    const int before = allocations;
    operator delete(operator new(1, std::nothrow));
    return allocations != before;
}

char code;
rmon::scope_states<event::line, event::py_start> states;

status fires_line(int32_t number)
{
    rmon::scope guard(states, &code);
    return guard.line(0, number);
}

tool uses(int id = rmon::profiler_id)
{
    return *tool::use(id, "tested");
}

bool is_in_use(int id)
{
    return rmon_get_tool(id, nullptr, 0) > 0;
}

// ---- ids ----

void a_tool_has_its_id_as_long_as_it_lives()
{
    {
        const auto mine = tool::use(rmon::coverage_id, "mine");
        CHECK(static_cast<bool>(mine));
        CHECK_EQ(mine->id(), RMON_COVERAGE_ID);
        char name[8];
        CHECK_EQ(rmon_get_tool(RMON_COVERAGE_ID, name, sizeof name), 4);
        CHECK_TEXT(name, "mine");
        CHECK(tool::use(rmon::coverage_id, "another").error() == status::tool_in_use);
        CHECK(static_cast<bool>(tool::use(rmon::debugger_id, "another")));
    }
    CHECK(!is_in_use(rmon::coverage_id));
    CHECK(!is_in_use(rmon::debugger_id));
}

void ids_that_cannot_be_had_say_why()
{
    CHECK(tool::use(6, "tool").error() == status::invalid_tool);
    CHECK(tool::use(-1, "tool").error() == status::invalid_tool);
    CHECK(tool::use(0, nullptr).error() == status::null);
    CHECK(tool::use(0, "").error() == status::invalid_name);
    CHECK(!is_in_use(0));
}

void a_tool_moves()
{
    static_assert(std::is_nothrow_move_constructible_v<tool> && std::is_nothrow_move_assignable_v<tool>, "");
    static_assert(!std::is_copy_constructible_v<tool> && !std::is_copy_assignable_v<tool>, "an id has one owner");
    tool first = uses(0);
    tool second = std::move(first);
    CHECK_EQ(first.id(), -1);
    CHECK_EQ(second.id(), 0);
    CHECK(is_in_use(0));
    tool third = uses(1);
    third = std::move(second);
    CHECK_EQ(third.id(), 0);
    CHECK(is_in_use(0));
    CHECK(!is_in_use(1)); // what third was is gone
    third = std::move(*&third);
    CHECK_EQ(third.id(), 0);
    CHECK(is_in_use(0));
    std::vector<tool> tools;
    for (int id = 1; id < TOOL_COUNT; id++)
        tools.push_back(uses(id));
    tools.erase(tools.begin());
    CHECK(!is_in_use(1));
    CHECK(is_in_use(2));
}

void a_tool_that_was_moved_from_has_no_id()
{
    tool first = uses(0);
    const tool second = std::move(first);
    CHECK(first.set_events(event::line) == status::invalid_tool);
    CHECK(first.get_events().error() == status::invalid_tool);
    CHECK(first.set_local_events(&code, event::line) == status::invalid_tool);
    CHECK(first.get_local_events(&code).error() == status::invalid_tool);
    CHECK(first.on(event::line, [](const rmon_event &) {}) == status::invalid_tool);
    CHECK(first.off(event::line) == status::invalid_tool);
    CHECK(first.clear() == status::invalid_tool);
    first.reset();
    CHECK(is_in_use(0));
}

void a_tool_can_be_ended_early_or_left()
{
    tool mine = uses(0);
    mine.reset();
    CHECK(!is_in_use(0));
    CHECK_EQ(mine.id(), -1);
    mine = uses(0);
    CHECK_EQ(mine.release(), 0);
    mine.reset();
    CHECK(is_in_use(0)); // for check_reset to free
}

// ---- events ----

void events_are_set_and_read()
{
    const tool mine = uses();
    CHECK(*mine.get_events() == rmon::no_events);
    CHECK(mine.set_events(event::line | event::branch) == status::ok);
    CHECK(*mine.get_events() == (event::line | event::branch_left | event::branch_right));
    CHECK(mine.set_events(rmon::no_events) == status::ok);
    CHECK(*mine.get_events() == rmon::no_events);
    CHECK(mine.set_events(rmon::all_events) == status::ok);
    CHECK(mine.set_events(event::c_return) == status::not_independent);
    CHECK(mine.set_events(rmon::event_set::from_bits(1u << 30)) == status::invalid_event_set);
    CHECK(mine.set_events(static_cast<event>(40)) == status::invalid_event_set);
}

void local_events_are_set_on_codes_of_all_kinds()
{
    const tool mine = uses();
    const rmon::code own = *rmon::code::make("f", "f");
    int heard = 0;
    CHECK(mine.on(event::line, [&heard](const rmon_event &) { ++heard; }) == status::ok);
    CHECK(mine.set_local_events(own, event::line) == status::ok);
    CHECK(*mine.get_local_events(own) == event::line);
    CHECK(*mine.get_local_events(&code) == rmon::no_events);
    CHECK(fires_line(1) == status::ok);
    CHECK_EQ(heard, 0);
    CHECK(mine.set_local_events(&code, event::line) == status::ok);
    CHECK(fires_line(1) == status::ok);
    CHECK_EQ(heard, 1);
    CHECK(mine.set_local_events(&code, event::raise) == status::invalid_event_set);
    CHECK(mine.set_local_events(nullptr, event::line) == status::null);
    CHECK(rmon::forget(&code) == status::ok);
    CHECK(*mine.get_local_events(&code) == rmon::no_events);
    CHECK(mine.clear() == status::ok);
    CHECK(*mine.get_local_events(own) == rmon::no_events);
    CHECK(is_in_use(mine.id()));
}

// ---- what can be a callback ----

int calls;

void function(const rmon_event &fired)
{
    CHECK_EQ(fired.line, 7);
    ++calls;
}

int function_that_throws_nothing(const rmon_event &) noexcept
{
    ++calls;
    return RMON_CONTINUE;
}

struct Functor {
    void operator()(const rmon_event &) const { ++calls; }
};

// Counts how often the callable for LINE is called, and what it costs to register.
template <class Callable>
void check_called(Callable &&callable, int expected_allocations)
{
    tool mine = uses();
    calls = 0;
    const int before = allocations;
    CHECK(mine.on(event::line, std::forward<Callable>(callable)) == status::ok);
    const int after = allocations;
    if (memory_is_ours())
        CHECK_EQ(after - before, expected_allocations);
    CHECK(mine.set_events(event::line) == status::ok);
    CHECK(fires_line(7) == status::ok);
    CHECK_EQ(calls, 1);
    CHECK(mine.off(event::line) == status::ok);
    CHECK(fires_line(7) == status::ok);
    CHECK_EQ(calls, 1);
}

void callables_without_state_need_no_memory()
{
    check_called(function, 0);
    check_called(&function, 0);
    check_called(function_that_throws_nothing, 0);
    check_called(Functor(), 0);
    check_called([](const rmon_event &) { ++calls; }, 0);
    check_called([](rmon_event) { ++calls; }, 0);
    check_called([](auto &) { ++calls; }, 0);
    const auto constant = [](const rmon_event &) { ++calls; };
    check_called(constant, 0);
}

void callables_with_state_are_kept()
{
    int *const counter = &calls;
    check_called([counter](const rmon_event &) { ++*counter; }, 1);
    auto owned = std::make_unique<int>(0);
    check_called([owned = std::move(owned)](const rmon_event &) { calls += ++*owned; }, 1);
    CHECK(owned == nullptr);
    const std::function<void(const rmon_event &)> erased = [counter](const rmon_event &) { ++*counter; };
    check_called(erased, 1); // small enough for std::function itself
    struct alignas(128) Wide {
        void operator()(const rmon_event &) const
        {
            CHECK_EQ(reinterpret_cast<std::uintptr_t>(this) % 128, 0);
            ++calls;
        }
        int content = 0;
    };
    tool mine = uses(0);
    CHECK(mine.on(event::line, Wide()) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    CHECK(fires_line(7) == status::ok);
}

void a_callable_may_have_operators_of_its_own()
{
    struct Own {
        explicit Own(int *place) : counter(place) {}
        void operator()(const rmon_event &) const { ++*counter; }
        void *operator new(std::size_t) = delete;
        void operator delete(void *) = delete;
        Own *operator&() = delete;
        const Own *operator&() const = delete;
        void operator,(int) = delete;
        int *counter;
    };
    check_called(Own(&calls), 1);
    struct Empty {
        void operator()(const rmon_event &) const { ++calls; }
        Empty *operator&() = delete;
        const Empty *operator&() const = delete;
    };
    check_called(Empty(), 0);
}

template <class Result>
status fires_with(Result result)
{
    const tool mine = uses();
    CHECK(mine.on(event::line, [result](const rmon_event &) { return result; }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    return fires_line(1);
}

void what_a_callback_returns_is_the_answer()
{
    CHECK(fires_with(answer::proceed) == status::ok);
    CHECK(fires_with(answer::fail) == status::callback);
    CHECK(fires_with(status::ok) == status::ok);
    CHECK(fires_with(status::unknown_code) == status::unknown_code);
    CHECK(fires_with(0) == status::ok);
    CHECK_EQ(static_cast<int>(fires_with(-99)), -99);
}

template <class Result>
void check_disables(Result result)
{
    const tool mine = uses();
    calls = 0;
    CHECK(mine.on(event::line, [result](const rmon_event &) { return ++calls, result; }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    for (int line : {1, 1, 2, 1, 2})
        CHECK(fires_line(line) == status::ok);
    CHECK_EQ(calls, 2);
    CHECK(rmon::restart_events() == status::ok);
    CHECK(fires_line(1) == status::ok);
    CHECK_EQ(calls, 3);
}

void a_callback_disables_a_location()
{
    check_disables(answer::disable);
    check_disables(RMON_DISABLE);
}

void no_function_is_no_callback()
{
    const tool mine = uses();
    void (*none)(const rmon_event &) = nullptr;
    CHECK(mine.on(event::line, function) == status::ok);
    CHECK(mine.on(event::line, none) == status::null);
    CHECK(mine.on(event::line, std::function<void(const rmon_event &)>()) == status::null);
    CHECK(mine.set_events(event::line) == status::ok);
    calls = 0;
    CHECK(fires_line(7) == status::ok);
    CHECK_EQ(calls, 1); // what was there stays
}

// ---- when callables are destroyed ----

// Counts its destruction, and how many there are.
struct Counted {
    explicit Counted(int *count) : destroyed(count) {}
    Counted(Counted &&other) noexcept : destroyed(std::exchange(other.destroyed, nullptr)) {}
    Counted &operator=(Counted &&) = delete;
    ~Counted()
    {
        if (destroyed != nullptr)
            ++*destroyed;
    }
    void operator()(const rmon_event &) const { ++calls; }
    int *destroyed;
};

void a_callable_is_destroyed_once()
{
    int destroyed = 0;
    {
        const tool mine = uses();
        CHECK(mine.on(event::line, Counted(&destroyed)) == status::ok);
        CHECK(mine.set_events(event::line) == status::ok);
        CHECK(fires_line(1) == status::ok);
        CHECK_EQ(destroyed, 0);
        CHECK(mine.on(event::line, Counted(&destroyed)) == status::ok); // in place of the other
        CHECK(rmon::synchronize() == status::ok);
        CHECK_EQ(destroyed, 1);
        CHECK(mine.off(event::line) == status::ok);
        CHECK(rmon::synchronize() == status::ok);
        CHECK_EQ(destroyed, 2);
        CHECK(mine.on(event::py_start, Counted(&destroyed)) == status::ok);
        CHECK(mine.clear() == status::ok);
        CHECK(rmon::synchronize() == status::ok);
        CHECK_EQ(destroyed, 3);
        CHECK(mine.on(event::py_start, Counted(&destroyed)) == status::ok);
    }
    CHECK_EQ(destroyed, 4); // the destructor waits for it
}

void a_callable_that_is_refused_is_destroyed_once()
{
    int destroyed = 0;
    tool mine = uses();
    CHECK(mine.on(static_cast<event>(RMON_EVENT_COUNT), Counted(&destroyed)) == status::invalid_event);
    CHECK(rmon::synchronize() == status::ok);
    CHECK_EQ(destroyed, 1);
    mine.reset();
    CHECK(mine.on(event::line, Counted(&destroyed)) == status::invalid_tool);
    CHECK(rmon::synchronize() == status::ok);
    CHECK_EQ(destroyed, 2);
}

void without_memory_nothing_changes()
{
    int first = 0, second = 0;
    if (!memory_is_ours())
        return;
    const tool mine = uses();
    CHECK(mine.on(event::line, Counted(&first)) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    exhausted = true;
    CHECK(mine.on(event::line, Counted(&second)) == status::no_memory);
    auto array = rmon::state_array<>::make(event::line, 8);
    CHECK(array.error() == status::no_memory);
    if (array)
        CHECK(array->enter() == status::ok); // or the compiler could do without memory itself
    exhausted = false;
    CHECK_EQ(second, 1); // the argument itself
    CHECK_EQ(first, 0);
    calls = 0;
    CHECK(fires_line(1) == status::ok);
    CHECK_EQ(calls, 1);
}

void what_copying_a_callable_throws_comes_out()
{
    struct Reluctant {
        Reluctant() = default;
        Reluctant(const Reluctant &) { throw std::runtime_error("no copies"); }
        void operator()(const rmon_event &) const {}
        int content = 0;
    };
    const tool mine = uses();
    const Reluctant reluctant;
    static_assert(!noexcept(mine.on(event::line, reluctant)) && noexcept(mine.on(event::line, function)), "");
    bool thrown = false;
    try {
        CHECK(mine.on(event::line, reluctant) == status::ok);
    } catch (const std::runtime_error &) {
        thrown = true;
    }
    CHECK(thrown);
    rmon_callback callback = nullptr;
    void *data = nullptr;
    CHECK_EQ(rmon_get_callback(mine.id(), RMON_EVENT_LINE, &callback, &data), RMON_OK);
    CHECK(callback == nullptr);
}

// ---- exceptions ----

void what_a_callback_throws_fails_the_fire()
{
    const tool mine = uses();
    CHECK(mine.on(event::line, [](const rmon_event &fired) {
        if (fired.line == 2)
            throw std::runtime_error("of the tool's");
        if (fired.line == 3)
            throw 3; // NOLINT: anything can be thrown
    }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    CHECK(fires_line(1) == status::ok);
    CHECK(fires_line(2) == status::callback);
    CHECK(fires_line(3) == status::callback);
    CHECK(fires_line(1) == status::ok); // and the thread is not taken to be inside a callback still
    CHECK(rmon::synchronize() == status::ok);
}

void what_a_callback_throws_leaves_the_emitters_exception_alone()
{
    struct AtEnd {
        ~AtEnd() { CHECK(fires_line(1) == status::callback); }
    };
    const tool mine = uses();
    CHECK(mine.on(event::line, [](const rmon_event &) { throw std::runtime_error("of the tool's"); }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    std::string caught;
    try {
        AtEnd at_end;
        throw std::logic_error("of the emitter's");
    } catch (const std::exception &error) {
        caught = error.what();
    }
    CHECK(caught == "of the emitter's");
}

// ---- threads ----

void the_destructor_waits_for_callbacks_in_other_threads()
{
    static int inside, leave;
    flag_set(&inside, 0);
    flag_set(&leave, 0);
    std::atomic<bool> left{false};
    std::optional<tool> mine = uses();
    CHECK(mine->on(event::line, [&left](const rmon_event &) {
        flag_set(&inside, 1);
        CHECK(flag_reaches(&leave, 1));
        sleep_milliseconds(20);
        left = true;
    }) == status::ok);
    CHECK(mine->set_events(event::line) == status::ok);
    std::thread emitter([] { CHECK(fires_line(1) == status::ok); });
    CHECK(flag_reaches(&inside, 1));
    CHECK(!left);
    flag_set(&leave, 1);
    mine.reset();
    CHECK(left);
    emitter.join();
}

void a_callback_may_end_its_own_tool()
{
    int destroyed = 0;
    std::optional<tool> mine = uses();
    const int id = mine->id();
    CHECK(mine->on(event::line, [&mine, &destroyed, counted = Counted(&destroyed)](const rmon_event &) {
        mine.reset();
        CHECK_EQ(destroyed, 0); // it still runs
    }) == status::ok);
    CHECK(mine->set_events(event::line) == status::ok);
    CHECK(fires_line(1) == status::ok);
    CHECK(!mine);
    CHECK(!is_in_use(id));
    CHECK(rmon::synchronize() == status::ok);
    CHECK_EQ(destroyed, 1);
}

void a_callback_may_replace_or_remove_itself()
{
    int replaced = 0, removed = 0, called = 0;
    tool mine = uses();
    CHECK(mine.on(event::line, [&, counted = Counted(&replaced)](const rmon_event &) {
        CHECK(mine.on(event::line, [&, counted = Counted(&removed)](const rmon_event &) {
            CHECK(mine.off(event::line) == status::ok);
            CHECK_EQ(removed, 0); // it still runs
            ++called;
        }) == status::ok);
        CHECK_EQ(replaced, 0);
        ++called;
    }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    for (int fire = 1; fire <= 3; fire++) {
        CHECK(fires_line(1) == status::ok);
        CHECK_EQ(called, fire < 2 ? fire : 2);
    }
    CHECK(rmon::synchronize() == status::ok);
    CHECK_EQ(replaced, 1);
    CHECK_EQ(removed, 1);
}

void a_callable_that_is_replaced_lives_while_a_thread_is_in_it()
{
    static int inside, leave;
    flag_set(&inside, 0);
    flag_set(&leave, 0);
    std::atomic<bool> alive{true};
    struct AtEnd {
        explicit AtEnd(std::atomic<bool> *place) : flag(place) {}
        ~AtEnd() { *flag = false; }
        std::atomic<bool> *flag;
    };
    const tool mine = uses();
    CHECK(mine.on(event::line, [&alive, at_end = std::make_unique<AtEnd>(&alive)](const rmon_event &) {
        flag_set(&inside, 1);
        CHECK(flag_reaches(&leave, 1));
        CHECK(alive);
    }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    std::thread emitter([] { CHECK(fires_line(1) == status::ok); });
    CHECK(flag_reaches(&inside, 1));
    CHECK(mine.on(event::line, [](const rmon_event &) {}) == status::ok); // does not wait
    CHECK(alive);
    flag_set(&leave, 1);
    emitter.join();
    CHECK(rmon::synchronize() == status::ok);
    CHECK(!alive);
}

void a_callable_may_own_a_tool()
{
    tool outer = uses(0);
    CHECK(outer.on(event::line, [inner = uses(1)](const rmon_event &) {}) == status::ok);
    CHECK(is_in_use(1));
    outer.reset();
    CHECK(!is_in_use(1));

    // Its own, even: what keeps it is the callback alone.
    outer = uses(0);
    tool &own = *new tool(std::move(outer)); // NOLINT: the callable's, from here on
    CHECK(own.on(event::line, [kept = std::unique_ptr<tool>(&own)](const rmon_event &) {}) == status::ok);
    CHECK_EQ(rmon_clear_tool_id(0), RMON_OK);
    CHECK(rmon::synchronize() == status::ok);
    CHECK(!is_in_use(0));
}

void inside_a_callback_nobody_waits()
{
    status inside = status::ok;
    const tool mine = uses();
    CHECK(mine.on(event::line, [&inside](const rmon_event &) { inside = rmon::synchronize(); }) == status::ok);
    CHECK(mine.set_events(event::line) == status::ok);
    CHECK(fires_line(1) == status::ok);
    CHECK(inside == status::in_callback);
}

void tools_come_and_go_while_threads_fire()
{
    enum { THREADS = 3 };
    std::atomic<bool> stop{false};
    std::vector<std::thread> threads;
    for (int i = 0; i < THREADS; i++)
        threads.emplace_back([&stop] {
            for (; !stop; std::this_thread::yield())
                for (int fire = 0; fire < 100; fire++)
                    CHECK(fires_line(1) == status::ok);
        });
    const int rounds = check_scaled(400);
    for (int round = 0; round < rounds; round++) {
        // In this order: the tool ends first, and with it all use of what it counts in.
        auto counter = std::make_unique<std::atomic<long>>(0);
        const tool mine = uses();
        CHECK(mine.on(event::line, [&counter = *counter](const rmon_event &) { ++counter; }) == status::ok);
        CHECK(mine.set_events(event::line) == status::ok);
        while (*counter < 10)
            std::this_thread::yield();
        CHECK(mine.on(event::line, [&counter = *counter](const rmon_event &) { --counter; }) == status::ok);
    }
    stop = true;
    for (auto &thread : threads)
        thread.join();
}

} // namespace

int main()
{
    RUN(a_tool_has_its_id_as_long_as_it_lives);
    RUN(ids_that_cannot_be_had_say_why);
    RUN(a_tool_moves);
    RUN(a_tool_that_was_moved_from_has_no_id);
    RUN(a_tool_can_be_ended_early_or_left);
    RUN(events_are_set_and_read);
    RUN(local_events_are_set_on_codes_of_all_kinds);
    RUN(callables_without_state_need_no_memory);
    RUN(callables_with_state_are_kept);
    RUN(a_callable_may_have_operators_of_its_own);
    RUN(what_a_callback_returns_is_the_answer);
    RUN(a_callback_disables_a_location);
    RUN(no_function_is_no_callback);
    RUN(a_callable_is_destroyed_once);
    RUN(a_callable_that_is_refused_is_destroyed_once);
    RUN(without_memory_nothing_changes);
    RUN(what_copying_a_callable_throws_comes_out);
    RUN(what_a_callback_throws_fails_the_fire);
    RUN(what_a_callback_throws_leaves_the_emitters_exception_alone);
    RUN(the_destructor_waits_for_callbacks_in_other_threads);
    RUN(a_callback_may_end_its_own_tool);
    RUN(a_callback_may_replace_or_remove_itself);
    RUN(a_callable_that_is_replaced_lives_while_a_thread_is_in_it);
    RUN(a_callable_may_own_a_tool);
    RUN(inside_a_callback_nobody_waits);
    RUN(tools_come_and_go_while_threads_fire);
    return check_result();
}
