// hpp.cpp: rmon.hpp's values: statuses, results, events and sets of them, codes.
#include <rmon.hpp>
#include <rmon.hpp>

#include "check.h"

#include <array>
#include <iterator>
#if __cplusplus >= 202002L
#include <ranges>
#endif
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

using rmon::event;
using rmon::event_set;
using rmon::status;

namespace {

void statuses_have_texts_and_a_test()
{
    static_assert(ok(status::ok) && !ok(status::callback) && !ok(status::internal), "failures are negative");
    static_assert(!std::is_convertible_v<status, bool>, "nobody takes 0, which is success, for failure");
    CHECK_TEXT(message(status::tool_in_use), rmon_status_message(RMON_ERR_TOOL_IN_USE));
    CHECK(message(static_cast<status>(-12345)) != nullptr);
    for (int number = 0; number >= RMON_ERR_INTERNAL; number--)
        CHECK_EQ(ok(static_cast<status>(number)), number == 0);
}

void results_are_a_value_or_a_status()
{
    rmon::result<std::string> good(std::string("text"));
    CHECK(static_cast<bool>(good));
    CHECK(good.error() == status::ok);
    CHECK_EQ(good->size(), 4);
    const std::string moved = *std::move(good);
    CHECK(moved == "text");

    const rmon::result<std::string> bad(status::null);
    CHECK(!bad);
    CHECK(bad.error() == status::null);
}

void events_have_the_numbers_and_names_of_the_c_api()
{
    CHECK_TEXT(rmon::event_name(event::py_start), "PY_START");
    CHECK_TEXT(rmon::event_name(event::branch), "BRANCH");
    CHECK_PTR(rmon::event_name(static_cast<event>(RMON_EVENT_COUNT)), nullptr);
    rmon_event fired = {};
    fired.event = RMON_EVENT_LINE;
    CHECK(rmon::kind_of(fired) == event::line);
}

constexpr event_set two = event::line | event::call;
static_assert(two.bits() == (RMON_EVENT_SET(RMON_EVENT_LINE) | RMON_EVENT_SET(RMON_EVENT_CALL)), "bits are C's");
static_assert(two.size() == 2 && two.contains(event::line) && two.contains(two) && !two.contains(event::jump), "");
static_assert(two.contains(rmon::no_events) && !event_set(event::line).contains(two), "all of them must be in it");
static_assert((two & event::line) == event::line && (two & event::jump).empty(), "");
static_assert(event_set() == rmon::no_events && rmon::no_events.empty() && rmon::no_events != two, "");
static_assert(~rmon::no_events == rmon::all_events && (~event::line).size() == RMON_EVENT_COUNT - 1, "");
static_assert((rmon::local_events & rmon::ancillary_events).empty(), "");
static_assert(rmon::ancillary_events == (event::c_return | event::c_raise), "");
static_assert((event::line | event::call | event::jump) == (event::jump | two), "a set and an event make a set");
static_assert(sizeof(event_set) == sizeof(std::uint32_t) && std::is_trivially_copyable_v<event_set>, "");

static_assert(event_set(static_cast<event>(32)) == event_set(static_cast<event>(255)), "neither is an event");
static_assert(!rmon::all_events.contains(static_cast<event>(40)), "nor does one of them become an event");
static_assert(std::is_same_v<std::iterator_traits<event_set::iterator>::reference, event>, "");
#if __cplusplus >= 202002L
static_assert(std::forward_iterator<event_set::iterator> && std::ranges::forward_range<event_set>, "");
#endif

void sets_go_through_their_events()
{
    std::vector<event> seen;
    for (event which : event::branch | event::py_start | event::line)
        seen.push_back(which);
    CHECK((seen == std::vector<event>{event::py_start, event::line, event::branch}));
    CHECK_EQ(std::distance(rmon::all_events.begin(), rmon::all_events.end()), RMON_EVENT_COUNT);
    CHECK(rmon::no_events.begin() == rmon::no_events.end());
    event_set set = event::line;
    set |= event::call;
    CHECK(set == two);
    set &= event::call;
    CHECK(set == event::call);
    const event_set invalid = event_set::from_bits(0x80000000u);
    CHECK_EQ(invalid.bits(), 0x80000000u);
}

void codes_are_described_as_they_were_made()
{
    const std::array<rmon::line_entry, 2> lines = {{{0, 3}, {4, 5}}};
    const auto made = rmon::code::make("f", "f.tmpl", 3, "C.f", lines);
    CHECK(static_cast<bool>(made));
    const auto known = rmon::describe(*made);
    CHECK(static_cast<bool>(known));
    CHECK_TEXT(known->name, "f");
    CHECK_TEXT(known->qualname, "C.f");
    CHECK_TEXT(known->filename, "f.tmpl");
    CHECK_EQ(known->first_line, 3);
    CHECK_EQ(known->lines.size(), 2);
    CHECK_EQ(known->lines[1].offset, 4);
    int sum = 0;
    for (const rmon::line_entry &entry : known->lines)
        sum += entry.line;
    CHECK_EQ(sum, 8);

    const auto plain = rmon::code::make("g", "f.tmpl");
    CHECK_TEXT(rmon::describe(*plain)->qualname, "g");
    CHECK_EQ(rmon::describe(*plain)->first_line, 1);
    CHECK(rmon::describe(*plain)->lines.empty());
}

void line_tables_come_from_any_row_of_lines()
{
    const rmon::line_entry array[] = {{0, 1}, {2, 2}, {4, 3}};
    const std::vector<rmon::line_entry> vector(std::begin(array), std::end(array));
    CHECK_EQ(rmon::line_table(array).size(), 3);
    CHECK_PTR(rmon::line_table(vector).data(), vector.data());
    CHECK_EQ(rmon::line_table(array, 2).end() - array, 2);
    static_assert(!std::is_convertible_v<std::vector<int>, rmon::line_table>, "of lines, nothing else");
    CHECK(static_cast<bool>(rmon::code::make("f", "f", 1, nullptr, array)));
    CHECK(static_cast<bool>(rmon::code::make("f", "f", 1, nullptr, vector)));
}

void codes_that_cannot_be_made_say_why()
{
    const rmon::line_entry descending[] = {{4, 1}, {0, 2}};
    CHECK(rmon::code::make(nullptr, "f").error() == status::null);
    CHECK(rmon::code::make("f", nullptr).error() == status::null);
    CHECK(rmon::code::make("\xff", "f").error() == status::invalid_argument);
    CHECK(rmon::code::make("f", "f", 1, nullptr, descending).error() == status::invalid_argument);
    CHECK(rmon::code::make("f", "f", 1, nullptr, {nullptr, 2}).error() == status::invalid_argument);
}

bool is_alive(void *address)
{
    const auto known = rmon::describe(address);
    CHECK(known || known.error() == status::unknown_code);
    return static_cast<bool>(known);
}

void a_code_lives_as_long_as_a_reference_to_it()
{
    rmon::code first = *rmon::code::make("f", "f");
    void *const address = first.get();
    rmon::code second = first;
    CHECK(second == first);
    CHECK_PTR(second.get(), address);
    first = rmon::code();
    CHECK(!first);
    CHECK(first != second);
    CHECK(is_alive(address));
    rmon::code third = std::move(second);
    CHECK_PTR(second.get(), nullptr);
    CHECK(is_alive(address));
    third = *&third;
    CHECK(is_alive(address));
    third = std::move(*&third);
    CHECK(is_alive(address));
    rmon::code fourth = rmon::code::retain(address);
    third = rmon::code();
    CHECK(is_alive(address));
    fourth = *rmon::code::make("g", "g");
    CHECK(!is_alive(address));
    CHECK(static_cast<bool>(fourth));
}

void foreign_codes_are_addresses()
{
    int mine = 0;
    const int *const constant = &mine;
    CHECK_PTR(rmon::code_ref(&mine).get(), &mine);
    CHECK_PTR(rmon::code_ref(constant).get(), &mine);
    CHECK_PTR(rmon::code_ref(nullptr).get(), nullptr);
    CHECK(rmon::describe(&mine).error() == status::unknown_code);
    CHECK(rmon::forget(&mine) == status::ok);
    CHECK(rmon::forget(nullptr) == status::null);
    const rmon::code kept = rmon::code::retain(&mine); // and released: neither does harm
    CHECK_PTR(kept.get(), &mine);
}

} // namespace

int main()
{
    RUN(statuses_have_texts_and_a_test);
    RUN(results_are_a_value_or_a_status);
    RUN(events_have_the_numbers_and_names_of_the_c_api);
    RUN(sets_go_through_their_events);
    RUN(codes_are_described_as_they_were_made);
    RUN(line_tables_come_from_any_row_of_lines);
    RUN(codes_that_cannot_be_made_say_why);
    RUN(a_code_lives_as_long_as_a_reference_to_it);
    RUN(foreign_codes_are_addresses);
    return check_result();
}
