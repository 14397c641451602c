// rmon.hpp: rmon for C++17 and newer, header-only, on top of rmon.h. What an event means, who calls whom and when, is
// said there; here is who owns what.
//
// An emitter has an array of states, shared by all who run the monitored code, and a guard for each run:
//
//     static rmon::scope_states<rmon::event::line> states;
//     rmon::scope guard(states, code);
//     (void)guard.line(0, 7);
//
// A tool is an object; when it goes, its callbacks and events go:
//
//     auto tool = rmon::tool::use(rmon::coverage_id, "lines");
//     if (tool && ok(tool->on(rmon::event::line, [](const rmon_event &e) { std::printf("%d\n", e.line); })))
//         (void)tool->set_events(rmon::event::line);
//
// Nothing here throws: functions return a status, or a result, which is a value or a status. The header works with
// -fno-exceptions and -fno-rtti. RMON_DISABLED and RMON_LAZY, defined before the include, do what they do in rmon.h:
// every probe compiles away; or the emitter needs no librmon, and sleeps as long as there is none.
//
// Threads: functions, and the member functions of states, guards and codes that are const, may be called by any thread
// at any time. An object that is assigned to, moved from or destroyed is, as usual, its owner's alone. Include Python.h
// first if you include both.
#ifndef RMON_HPP
#define RMON_HPP

#if !(__cplusplus >= 201703L || (defined(_MSVC_LANG) && _MSVC_LANG >= 201703L))
#error "rmon.hpp needs C++17"
#endif

// gcc finds parameters of templates shadowed by whatever globals the program has where it uses them; clang finds the
// casts in what is C.
#ifdef __GNUC__
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wold-style-cast"
#endif

#include <rmon.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <type_traits>
#include <utility>

// What programs that were compiled before rely on.
static_assert(sizeof(rmon_state) == 2 && alignof(rmon_state) == 1, "a state has two bytes, for ever");
static_assert(offsetof(rmon_state, active) == 0 && offsetof(rmon_state, opaque) == 1, "the first tells who listens");
static_assert(std::is_trivial_v<rmon_state> && std::is_standard_layout_v<rmon_state>, "states are C's");
static_assert(offsetof(rmon_event, struct_size) == 0 && offsetof(rmon_event, event) == 4
                  && offsetof(rmon_event, tool_id) == 5 && offsetof(rmon_event, offset) == 8
                  && offsetof(rmon_event, line) == 12 && offsetof(rmon_event, target_offset) == 16,
              "events grow at their end only");
static_assert(sizeof(void *) != 8 || (offsetof(rmon_event, code) == 24 && offsetof(rmon_event, arg0) == 40),
              "events grow at their end only");
static_assert(sizeof(rmon_line_entry) == 8, "elements of arrays do not grow");

// On a constructor, in compilers that know it there.
#if __has_cpp_attribute(nodiscard) >= 201907L
#define RMON_PRIV_NODISCARD [[nodiscard]]
#else
#define RMON_PRIV_NODISCARD
#endif

/// All of rmon.hpp.
namespace rmon {

// Units that were compiled with another version of this header, or with a librmon that is attached in another way, have
// functions and types of their own, which the linker must not take for these.
#if defined(RMON_LAZY) && defined(RMON_DISABLED)
inline namespace v1_asleep {
#elif defined(RMON_LAZY)
inline namespace v1_lazy {
#else
inline namespace v1_linked {
#endif

// ---- statuses ----

/// How a call went. A fire's status may also be a negative number of a callback's own.
enum class [[nodiscard]] status : int {
    ok = RMON_OK,
    callback = RMON_ERR_CALLBACK,
    null = RMON_ERR_NULL,
    invalid_tool = RMON_ERR_INVALID_TOOL,
    invalid_name = RMON_ERR_INVALID_NAME,
    tool_in_use = RMON_ERR_TOOL_IN_USE,
    tool_not_in_use = RMON_ERR_TOOL_NOT_IN_USE,
    invalid_event = RMON_ERR_INVALID_EVENT,
    invalid_event_set = RMON_ERR_INVALID_EVENT_SET,
    not_independent = RMON_ERR_NOT_INDEPENDENT,
    cannot_disable = RMON_ERR_CANNOT_DISABLE,
    invalid_offset = RMON_ERR_INVALID_OFFSET,
    invalid_argument = RMON_ERR_INVALID_ARGUMENT,
    no_exception = RMON_ERR_NO_EXCEPTION,
    unknown_code = RMON_ERR_UNKNOWN_CODE,
    in_callback = RMON_ERR_IN_CALLBACK,
    no_memory = RMON_ERR_NO_MEMORY,
    internal = RMON_ERR_INTERNAL,
};

/// Whether a call succeeded.
[[nodiscard]] constexpr bool ok(status how) noexcept
{
    return static_cast<int>(how) >= 0;
}

/// One line of English, without a full stop; also for a number that is no status. Static. Null in an emitter that
/// sleeps (RMON_LAZY), else never.
[[nodiscard]] inline const char *message(status how) noexcept
{
    return rmon_status_message(static_cast<int>(how));
}

/// A value, or the status that says why there is none.
template <class T>
class [[nodiscard]] result {
public:
    /// A success.
    result(T value) noexcept(std::is_nothrow_move_constructible_v<T>) : value_(std::move(value)) {}
    /// A failure: `why` is not status::ok.
    result(status why) noexcept : why_(why) {}

    /// Whether there is a value.
    explicit operator bool() const noexcept { return value_.has_value(); }

    /// Why there is no value; status::ok if there is one.
    status error() const noexcept { return why_; }

    /// The value. Without one the program is ended by std::terminate.
    T &operator*() & noexcept { return checked(value_); }
    /// The value, to be moved out: `rmon::tool mine = *rmon::tool::use(0, "mine");`.
    T &&operator*() && noexcept { return std::move(checked(value_)); }
    /// The value.
    const T &operator*() const & noexcept { return checked(value_); }
    /// The value's members.
    T *operator->() noexcept { return std::addressof(checked(value_)); }
    /// The value's members.
    const T *operator->() const noexcept { return std::addressof(checked(value_)); }

private:
    template <class Optional>
    static auto &checked(Optional &value) noexcept
    {
        if (!value)
            std::terminate();
        return *value;
    }

    std::optional<T> value_{};
    status why_ = status::ok;
};

// ---- events ----

/// What can happen. rmon.h says of each when it is fired and what comes with it.
enum class event : std::uint8_t {
    py_start = RMON_EVENT_PY_START,
    py_resume = RMON_EVENT_PY_RESUME,
    py_return = RMON_EVENT_PY_RETURN,
    py_yield = RMON_EVENT_PY_YIELD,
    call = RMON_EVENT_CALL,
    line = RMON_EVENT_LINE,
    instruction = RMON_EVENT_INSTRUCTION,
    jump = RMON_EVENT_JUMP,
    branch_left = RMON_EVENT_BRANCH_LEFT,
    branch_right = RMON_EVENT_BRANCH_RIGHT,
    stop_iteration = RMON_EVENT_STOP_ITERATION,
    raise = RMON_EVENT_RAISE,
    exception_handled = RMON_EVENT_EXCEPTION_HANDLED,
    py_unwind = RMON_EVENT_PY_UNWIND,
    py_throw = RMON_EVENT_PY_THROW,
    reraise = RMON_EVENT_RERAISE,
    c_return = RMON_EVENT_C_RETURN,
    c_raise = RMON_EVENT_C_RAISE,
    branch = RMON_EVENT_BRANCH,
};

/// Its name as sys.monitoring has it, "PY_START". Static. Null for a number that is no event, and in an emitter that
/// sleeps.
[[nodiscard]] inline const char *event_name(event which) noexcept
{
    return rmon_event_name(static_cast<int>(which));
}

/// What was fired, for a callback.
[[nodiscard]] constexpr event kind_of(const rmon_event &fired) noexcept
{
    return static_cast<event>(fired.event);
}

/// A set of events; an event is a set of one. `event::line | event::call` makes one of two, and so on.
class event_set {
public:
    /// No event.
    constexpr event_set() noexcept = default;
    /// One event. What is no event gives a bit that is none either, for the library to refuse.
    constexpr event_set(event only) noexcept
        : bits_(std::uint32_t{1} << (static_cast<unsigned>(only) < 31u ? static_cast<unsigned>(only) : 31u))
    {
    }

    /// A set by its bits, as the C API has it. Bits that are no event are kept, for the library to refuse.
    [[nodiscard]] static constexpr event_set from_bits(std::uint32_t bits) noexcept
    {
        event_set set;
        set.bits_ = bits;
        return set;
    }

    /// Its bits, as the C API has them.
    [[nodiscard]] constexpr std::uint32_t bits() const noexcept { return bits_; }

    /// Whether no event is in it.
    [[nodiscard]] constexpr bool empty() const noexcept { return bits_ == 0; }

    /// Whether all of `others` are in it.
    [[nodiscard]] constexpr bool contains(event_set others) const noexcept
    {
        return (bits_ & others.bits_) == others.bits_;
    }

    /// How many events are in it.
    [[nodiscard]] constexpr std::size_t size() const noexcept
    {
        std::size_t count = 0;
        for (std::uint32_t rest = bits_; rest != 0; rest &= rest - 1)
            ++count;
        return count;
    }

    /// Goes through the events by number: `for (rmon::event which : set)`.
    class iterator {
    public:
        using iterator_concept = std::forward_iterator_tag;
        using iterator_category = std::input_iterator_tag; // since its reference is none
        using value_type = event;
        using difference_type = std::ptrdiff_t;
        using pointer = void;
        using reference = event;

        constexpr iterator() noexcept = default;
        constexpr event operator*() const noexcept
        {
            unsigned number = 0;
            while ((rest_ >> number & 1u) == 0)
                ++number;
            return static_cast<event>(number);
        }
        constexpr iterator &operator++() noexcept
        {
            rest_ &= rest_ - 1;
            return *this;
        }
        constexpr iterator operator++(int) noexcept
        {
            iterator before = *this;
            ++*this;
            return before;
        }
        friend constexpr bool operator==(iterator a, iterator b) noexcept { return a.rest_ == b.rest_; }
        friend constexpr bool operator!=(iterator a, iterator b) noexcept { return a.rest_ != b.rest_; }

    private:
        friend class event_set;
        constexpr explicit iterator(std::uint32_t rest) noexcept : rest_(rest) {}
        std::uint32_t rest_ = 0;
    };
    /// The event with the lowest number.
    [[nodiscard]] constexpr iterator begin() const noexcept { return iterator(bits_); }
    /// Behind the last event.
    [[nodiscard]] constexpr iterator end() const noexcept { return iterator(); }

    /// Adds events.
    constexpr event_set &operator|=(event_set other) noexcept
    {
        bits_ |= other.bits_;
        return *this;
    }
    /// Keeps only these events.
    constexpr event_set &operator&=(event_set other) noexcept
    {
        bits_ &= other.bits_;
        return *this;
    }

private:
    std::uint32_t bits_ = RMON_NO_EVENTS;
};

/// The events that are in one of two sets.
[[nodiscard]] constexpr event_set operator|(event_set a, event_set b) noexcept
{
    return event_set::from_bits(a.bits() | b.bits());
}
/// Two events. (Operators of enumerators are looked for among those that take enumerators.)
[[nodiscard]] constexpr event_set operator|(event a, event b) noexcept
{
    return event_set(a) | event_set(b);
}
/// The events that are in both of two sets.
[[nodiscard]] constexpr event_set operator&(event_set a, event_set b) noexcept
{
    return event_set::from_bits(a.bits() & b.bits());
}
/// All other events.
[[nodiscard]] constexpr event_set operator~(event_set set) noexcept
{
    return event_set::from_bits(~set.bits() & RMON_ALL_EVENTS);
}
/// All events but one.
[[nodiscard]] constexpr event_set operator~(event which) noexcept
{
    return ~event_set(which);
}
/// Whether two sets have the same events.
[[nodiscard]] constexpr bool operator==(event_set a, event_set b) noexcept
{
    return a.bits() == b.bits();
}
/// Whether two sets differ.
[[nodiscard]] constexpr bool operator!=(event_set a, event_set b) noexcept
{
    return a.bits() != b.bits();
}

/// The empty set.
inline constexpr event_set no_events;
/// The events that happen at a location: they can be set for one code, and disabled at one place.
inline constexpr event_set local_events = event_set::from_bits(RMON_LOCAL_EVENTS);
/// The events that CALL controls: they can be set only together, with CALL.
inline constexpr event_set ancillary_events = event_set::from_bits(RMON_ANCILLARY_EVENTS);
/// Every event there is.
inline constexpr event_set all_events = event_set::from_bits(RMON_ALL_EVENTS);

// ---- codes ----

/// A line of a code: from `offset` on, code belongs to `line`.
using line_entry = rmon_line_entry;

/// The lines of a code, by ascending offset, in somebody else's memory: an array's, a vector's, a code's.
class line_table {
public:
    /// No lines.
    constexpr line_table() noexcept = default;
    /// `count` lines from `first` on.
    constexpr line_table(const line_entry *first, std::size_t count) noexcept : first_(first), count_(count) {}

    /// Any container that has its elements in a row.
    template <class Container, class = std::enable_if_t<std::is_convertible_v<
                                   decltype(std::data(std::declval<const Container &>())), const line_entry *>>>
    constexpr line_table(const Container &lines) noexcept : first_(std::data(lines)), count_(std::size(lines))
    {
    }

    /// The first line; null if there is none.
    [[nodiscard]] constexpr const line_entry *data() const noexcept { return first_; }
    /// How many lines there are.
    [[nodiscard]] constexpr std::size_t size() const noexcept { return count_; }
    /// Whether there is none.
    [[nodiscard]] constexpr bool empty() const noexcept { return count_ == 0; }
    /// The first line.
    [[nodiscard]] constexpr const line_entry *begin() const noexcept { return first_; }
    /// Behind the last line.
    [[nodiscard]] constexpr const line_entry *end() const noexcept { return first_ + count_; }
    /// The line at an index, which is below size().
    [[nodiscard]] constexpr const line_entry &operator[](std::size_t index) const noexcept { return first_[index]; }

private:
    const line_entry *first_ = nullptr;
    std::size_t count_ = 0;
};

/// A reference to a code look-alike that rmon made: something to fire events with for an emitter whose language has no
/// code objects of its own. Copies refer to the same code. With the last reference the code dies, and all that tools
/// have set on it.
class code {
public:
    /// Refers to none.
    constexpr code() noexcept = default;

    /// Makes a code. `name` and `filename` are required, `qualname` null means `name`; all is copied, texts are UTF-8,
    /// the offsets of `lines` ascend from 0 or above. Gives status::null, or status::invalid_argument: for a bad text
    /// or table, without memory, and in an emitter that sleeps, which can try again when it is awake.
    static result<code> make(const char *name, const char *filename, std::int32_t first_line = 1,
                             const char *qualname = nullptr, line_table lines = {}) noexcept
    {
        if (name == nullptr || filename == nullptr)
            return status::null;
        rmon_code_info info = {};
        info.struct_size = sizeof info;
        info.first_line = first_line;
        info.name = name;
        info.qualname = qualname;
        info.filename = filename;
        info.lines = lines.data();
        info.line_count = lines.size();
        void *made = rmon_code_new(&info);
        if (made == nullptr)
            return status::invalid_argument;
        return code(made);
    }

    /// A reference of one's own to a code that came with an event, so that it stays alive. Codes that rmon did not make
    /// are not kept alive.
    static code retain(void *known) noexcept
    {
        rmon_code_retain(known);
        return code(known);
    }

    /// One more reference.
    code(const code &other) noexcept : address_(other.address_) { rmon_code_retain(address_); }
    /// The same reference; `other` refers to none.
    code(code &&other) noexcept : address_(std::exchange(other.address_, nullptr)) {}
    /// Refers to what `other` does, and no longer to what it did.
    code &operator=(code other) noexcept
    {
        std::swap(address_, other.address_);
        return *this;
    }
    ~code() { rmon_code_release(address_); }

    /// The code's identity, as events carry it; null if there is none.
    [[nodiscard]] void *get() const noexcept { return address_; }
    /// Whether it refers to a code.
    explicit operator bool() const noexcept { return address_ != nullptr; }

    /// Whether two refer to the same code.
    [[nodiscard]] friend bool operator==(const code &a, const code &b) noexcept { return a.address_ == b.address_; }
    /// Whether two refer to different codes.
    [[nodiscard]] friend bool operator!=(const code &a, const code &b) noexcept { return a.address_ != b.address_; }

private:
    explicit code(void *owned) noexcept : address_(owned) {}
    void *address_ = nullptr;
};

/// Any code as an argument: a code of rmon's, or the address by which a host or an emitter knows one of its own. Not
/// owned.
class code_ref {
public:
    /// A code by its address, which is looked up and not read.
    constexpr code_ref(const void *address) noexcept : address_(const_cast<void *>(address)) {}
    /// None.
    constexpr code_ref(std::nullptr_t) noexcept : address_(nullptr) {}
    /// A code of rmon's.
    code_ref(const code &known) noexcept : address_(known.get()) {}
    code_ref(const code &&) = delete; // it would be gone when it is used
    code_ref(const code *) = delete;  // the address of the reference is not the code's

    /// The code's identity; null if there is none.
    [[nodiscard]] constexpr void *get() const noexcept { return address_; }

private:
    void *address_;
};

/// What is known of a code. Texts and lines live as long as the code.
struct description {
    const char *name;
    const char *qualname;
    const char *filename;
    std::int32_t first_line;
    line_table lines;
};

/// Describes a code of rmon's or of the host's (rmon_code_describe).
inline result<description> describe(code_ref which) noexcept
{
    rmon_code_info info = {};
    info.struct_size = sizeof info;
    const auto how = static_cast<status>(rmon_code_describe(which.get(), &info));
    if (!ok(how))
        return how;
    return description{info.name, info.qualname, info.filename, info.first_line, {info.lines, info.line_count}};
}

/// Tells that a code which rmon did not make has died: what tools have set on it goes (rmon_code_forget).
inline status forget(code_ref which) noexcept
{
    return static_cast<status>(rmon_code_forget(which.get()));
}

// ---- emitters ----

// A program may have units with RMON_DISABLED and units without: to the linker their probes are different things.
#ifdef RMON_DISABLED
inline namespace probes_off {
#else
inline namespace probes_on {
#endif

namespace detail {

/// Where among `Events` the one state of `Wanted` stands.
template <event Wanted, event... Events>
constexpr std::size_t index_of() noexcept
{
    constexpr std::size_t count = ((Events == Wanted ? 1u : 0u) + ... + 0u);
    static_assert(count != 0, "these states have none for this event");
    static_assert(count < 2, "this event has a state per location here: fire with at()");
    std::size_t index = 0;
    [[maybe_unused]] const bool found = ((Events == Wanted || (static_cast<void>(++index), false)) || ...);
    return index;
}

/// The events that a state stands for, as rmon_enter_scope takes them.
template <event... Events>
inline constexpr std::array<std::uint8_t, sizeof...(Events)> types_of{{static_cast<std::uint8_t>(Events)...}};

/// The fires, for what knows a state and a code: `Self` has state_of<event>() and code_of().
///
/// Each reports one event at `offset` (0 or above; its unit is the emitter's) to the tools that want it, on the calling
/// thread. If nobody does, that is a load, a test and a branch not taken. Objects may be null; they are passed on by
/// address and not kept. Gives status::ok, the error with which a callback ended the fire, status::invalid_offset, or
/// status::cannot_disable.
template <class Self>
class fires {
public:
    /// A function starts.
    status py_start(std::int32_t offset = 0) const noexcept
    {
        return static_cast<status>(rmon_fire_py_start(state<event::py_start>(), code(), offset));
    }

    /// A generator or coroutine goes on. Before this, scope::enter.
    status py_resume(std::int32_t offset) const noexcept
    {
        return static_cast<status>(rmon_fire_py_resume(state<event::py_resume>(), code(), offset));
    }

    /// A function is about to return.
    status py_return(std::int32_t offset, const void *retval = nullptr) const noexcept
    {
        return static_cast<status>(rmon_fire_py_return(state<event::py_return>(), code(), offset, plain(retval)));
    }

    /// A generator or coroutine is about to yield.
    status py_yield(std::int32_t offset, const void *retval = nullptr) const noexcept
    {
        return static_cast<status>(rmon_fire_py_yield(state<event::py_yield>(), code(), offset, plain(retval)));
    }

    /// `callable` is about to be called with `arg0` as its first argument, if there is one.
    status call(std::int32_t offset, const void *callable, const void *arg0 = nullptr) const noexcept
    {
        return static_cast<status>(
            rmon_fire_call(state<event::call>(), code(), offset, plain(callable), plain(arg0)));
    }

    /// Line `lineno` is about to run. The location is the code and the line.
    status line(std::int32_t offset, std::int32_t lineno) const noexcept
    {
        return static_cast<status>(rmon_fire_line(state<event::line>(), code(), offset, lineno));
    }

    /// An instruction is about to run.
    status instruction(std::int32_t offset) const noexcept
    {
        return static_cast<status>(rmon_fire_instruction(state<event::instruction>(), code(), offset));
    }

    /// An unconditional jump.
    status jump(std::int32_t offset, std::int32_t target_offset) const noexcept
    {
        return static_cast<status>(rmon_fire_jump(state<event::jump>(), code(), offset, target_offset));
    }

    /// A conditional branch goes left.
    status branch_left(std::int32_t offset, std::int32_t target_offset) const noexcept
    {
        return static_cast<status>(rmon_fire_branch_left(state<event::branch_left>(), code(), offset, target_offset));
    }

    /// A conditional branch goes right.
    status branch_right(std::int32_t offset, std::int32_t target_offset) const noexcept
    {
        return static_cast<status>(
            rmon_fire_branch_right(state<event::branch_right>(), code(), offset, target_offset));
    }

    /// A conditional branch goes one way or the other, for an emitter that cannot tell.
    status branch(std::int32_t offset, std::int32_t target_offset) const noexcept
    {
        return static_cast<status>(rmon_fire_branch(state<event::branch>(), code(), offset, target_offset));
    }

    /// `callable` returned. Wanted by tools that have CALL on.
    status c_return(std::int32_t offset, const void *callable, const void *arg0 = nullptr) const noexcept
    {
        return static_cast<status>(
            rmon_fire_c_return(state<event::c_return>(), code(), offset, plain(callable), plain(arg0)));
    }

    /// `callable` raised. Wanted by tools that have CALL on.
    status c_raise(std::int32_t offset, const void *callable, const void *arg0 = nullptr) const noexcept
    {
        return static_cast<status>(
            rmon_fire_c_raise(state<event::c_raise>(), code(), offset, plain(callable), plain(arg0)));
    }

    /// An iteration ends with `value`, without an exception being raised.
    status stop_iteration(std::int32_t offset, const void *value = nullptr) const noexcept
    {
        return static_cast<status>(
            rmon_fire_stop_iteration(state<event::stop_iteration>(), code(), offset, plain(value)));
    }

    /// A generator or coroutine goes on by `exception` being thrown in. Before this, scope::enter.
    status py_throw(std::int32_t offset, const void *exception = nullptr) const noexcept
    {
        return static_cast<status>(rmon_fire_py_throw(state<event::py_throw>(), code(), offset, plain(exception)));
    }

    /// `exception` is raised.
    status raise(std::int32_t offset, const void *exception = nullptr) const noexcept
    {
        return static_cast<status>(rmon_fire_raise(state<event::raise>(), code(), offset, plain(exception)));
    }

    /// `exception` is raised again.
    status reraise(std::int32_t offset, const void *exception = nullptr) const noexcept
    {
        return static_cast<status>(rmon_fire_reraise(state<event::reraise>(), code(), offset, plain(exception)));
    }

    /// `exception` is caught.
    status exception_handled(std::int32_t offset, const void *exception = nullptr) const noexcept
    {
        return static_cast<status>(
            rmon_fire_exception_handled(state<event::exception_handled>(), code(), offset, plain(exception)));
    }

    /// A function is left by `exception`.
    status py_unwind(std::int32_t offset, const void *exception = nullptr) const noexcept
    {
        return static_cast<status>(rmon_fire_py_unwind(state<event::py_unwind>(), code(), offset, plain(exception)));
    }

    /// Whether somebody may want the event, for an emitter to whom its argument is dear.
    template <event Which>
    [[nodiscard]] bool wanted() const noexcept
    {
#ifdef RMON_DISABLED
        return false;
#else
        return RMON_PRIV_LOAD_ACTIVE(state<Which>()) != 0;
#endif
    }

private:
    friend Self;
    fires() noexcept = default;

    template <event Which>
    rmon_state *state() const noexcept
    {
        return static_cast<const Self *>(this)->template state_of<Which>();
    }
    void *code() const noexcept { return static_cast<const Self *>(this)->code_of(); }
    static void *plain(const void *object) noexcept { return const_cast<void *>(object); }
};

} // namespace detail

/// The states of a piece of monitored code: one for each of `Events`. An event that stands once has one state for all
/// locations; one that stands several times has a state per location, which is what at() is for: when a tool disables
/// that location, the inline check is all that is left of it.
///
/// Lies anywhere (static, thread_local, in an object, on the stack), is initialised before anything runs, and may be
/// entered by any number of threads at a time. Neither copied nor moved: a state belongs to its array.
template <event... Events>
class scope_states {
public:
    static_assert(sizeof...(Events) != 0, "states of no event");

    /// States that are inactive until they are entered.
    constexpr scope_states() noexcept = default;
    scope_states(const scope_states &) = delete;
    scope_states &operator=(const scope_states &) = delete;

    /// How many states there are.
    [[nodiscard]] static constexpr std::size_t size() noexcept { return sizeof...(Events); }

    /// Brings the states up to date (rmon_enter_scope); the guards do it.
    status enter() noexcept
    {
        return static_cast<status>(rmon_enter_scope(states_, &version_, detail::types_of<Events...>.data(),
                                                    static_cast<std::ptrdiff_t>(size())));
    }

    /// The state of an event that stands once.
    template <event Which>
    [[nodiscard]] rmon_state *state() noexcept
    {
        return &states_[detail::index_of<Which, Events...>()];
    }

    /// The state at a place among `Events`, which is below size().
    [[nodiscard]] rmon_state *at(std::size_t index) noexcept { return &states_[index]; }

private:
    rmon_state states_[sizeof...(Events)] = {};
    std::uint64_t version_ = 0;
};

/// As scope_states, for code that is made while the program runs: a state for each of `Events`, and then a state for
/// each of as many locations as there turn out to be.
///
/// Owns its memory. May be moved while no other thread uses it; moved from, it can only be assigned to or destroyed.
template <event... Events>
class state_array {
public:
    /// Makes states for `count` locations, of which each fires the event that `locations` has at its index; those
    /// events are not among `Events`. Gives status::invalid_argument, status::invalid_event or status::no_memory.
    static result<state_array> make(const event *locations, std::size_t count) noexcept
    {
        return make(count, [locations](std::size_t index) { return locations[index]; });
    }

    /// The same for locations that all fire the same event: LINE, say.
    static result<state_array> make(event which, std::size_t count) noexcept
    {
        return make(count, [which](std::size_t) { return which; });
    }

    /// How many locations there are.
    [[nodiscard]] std::size_t size() const noexcept { return size_ - sizeof...(Events); }

    /// Brings the states up to date (rmon_enter_scope); the guards do it.
    status enter() noexcept
    {
        return static_cast<status>(
            rmon_enter_scope(states_.get(), &version_, types_.get(), static_cast<std::ptrdiff_t>(size_)));
    }

    /// The state of one of `Events`.
    template <event Which>
    [[nodiscard]] rmon_state *state() noexcept
    {
        return &states_[detail::index_of<Which, Events...>()];
    }

    /// The state of a location, which is below size().
    [[nodiscard]] rmon_state *at(std::size_t location) noexcept { return &states_[sizeof...(Events) + location]; }

private:
    state_array() noexcept = default;

    template <class EventAt>
    static result<state_array> make(std::size_t count, EventAt event_at) noexcept
    {
        if (count > static_cast<std::size_t>(PTRDIFF_MAX) / sizeof(rmon_state) - sizeof...(Events))
            return status::no_memory;
        state_array made;
        made.size_ = sizeof...(Events) + count;
        made.states_.reset(new (std::nothrow) rmon_state[made.size_]());
        made.types_.reset(new (std::nothrow) std::uint8_t[made.size_]());
        if (!made.states_ || !made.types_)
            return status::no_memory;
        std::size_t index = 0;
        static_cast<void>(((made.types_[index++] = static_cast<std::uint8_t>(Events)), ..., 0));
        constexpr event_set once = (event_set() | ... | Events);
        for (std::size_t location = 0; location < count; ++location) {
            const event which = event_at(location);
            if (static_cast<unsigned>(which) >= RMON_EVENT_COUNT)
                return status::invalid_event;
            if (once.contains(which))
                return status::invalid_argument;
            made.types_[index++] = static_cast<std::uint8_t>(which);
        }
        return made;
    }

    std::unique_ptr<rmon_state[]> states_{};
    std::unique_ptr<std::uint8_t[]> types_{};
    std::size_t size_ = 0;
    std::uint64_t version_ = 0;
};

/// One location with a state of its own: fire it with the event that its state stands for.
class location : public detail::fires<location> {
public:
    /// A state, which must outlive this, and the code.
    location(rmon_state *state, code_ref which) noexcept : state_(state), code_(which.get()) {}

private:
    friend detail::fires<location>;
    template <event>
    rmon_state *state_of() const noexcept
    {
        return state_;
    }
    void *code_of() const noexcept { return code_; }

    rmon_state *state_;
    void *code_;
};

/// One run of monitored code: enters when it is made, exits when it goes, by whatever way. Its member functions fire
/// (detail::fires, above). Costs what the functions of rmon.h cost.
///
/// `States` is a scope_states or state_array, which outlives the guard, as does the code. Neither copied nor moved.
template <class States>
class [[nodiscard]] scope : public detail::fires<scope<States>> {
public:
    /// Enters.
    RMON_PRIV_NODISCARD scope(States &states, code_ref which) noexcept : states_(states), code_(which.get())
    {
        (void)states.enter(); // which can only fail for events that are none
    }
    scope(const scope &) = delete;
    scope &operator=(const scope &) = delete;
    /// Exits.
    ~scope() { (void)rmon_exit_scope(); }

    /// Enters again: when a generator or coroutine, whose frame the guard lives in, goes on.
    status enter() const noexcept { return states_.enter(); }

    /// A location by its index in the states.
    [[nodiscard]] location at(std::size_t index) const noexcept { return location(states_.at(index), code_); }

private:
    friend detail::fires<scope>;
    template <event Which>
    rmon_state *state_of() const noexcept
    {
        return states_.template state<Which>();
    }
    void *code_of() const noexcept { return code_; }

    States &states_;
    void *code_;
};

template <class States>
scope(States &, code_ref) -> scope<States>;

/// One run of a monitored function: a scope that fires PY_START when it is made, and when it goes PY_RETURN, or
/// PY_UNWIND if that is because of an exception. Its `States` have a state for each of these.
///
/// What the last fire gives has nobody to go to and is dropped. PY_UNWIND carries no exception: C++ does not tell which
/// one it is. Of a guard that was made while nobody listened, and goes while somebody does, any exception in flight
/// counts as its own.
template <class States>
class [[nodiscard]] function_scope : public scope<States> {
public:
    /// Enters, and fires PY_START at `offset`.
    RMON_PRIV_NODISCARD function_scope(States &states, code_ref which, std::int32_t offset = 0) noexcept
        : scope<States>(states, which), states_(states), code_(which.get()), offset_(offset)
    {
        if (RMON_PRIV_UNLIKELY(end_is_wanted()))
            exceptions_ = std::uncaught_exceptions();
        started_ = scope<States>::py_start(offset);
    }
    function_scope(const function_scope &) = delete;
    function_scope &operator=(const function_scope &) = delete;
    ~function_scope()
    {
        if (RMON_PRIV_UNLIKELY(end_is_wanted()))
            end(states_, code_, offset_, retval_, exceptions_);
    }

    /// What firing PY_START gave.
    status started() const noexcept { return started_; }

    /// Where the function is, and what it returns from there: for the event with which it will end.
    void ends(std::int32_t offset, const void *retval = nullptr) noexcept
    {
        offset_ = offset;
        retval_ = retval;
    }

    // The guard fires them.
    template <class... Any>
    status py_start(Any...) const = delete;
    template <class... Any>
    status py_return(Any...) const = delete;
    template <class... Any>
    status py_unwind(Any...) const = delete;

private:
    bool end_is_wanted() const noexcept
    {
#ifdef RMON_DISABLED
        return false;
#else
        return (RMON_PRIV_LOAD_ACTIVE(states_.template state<event::py_return>())
                | RMON_PRIV_LOAD_ACTIVE(states_.template state<event::py_unwind>())) != 0;
#endif
    }

    // Out of the way, and not given the guard, so that compilers can keep that in registers.
#ifdef __GNUC__
    __attribute__((__noinline__, __cold__))
#endif
    static void end(States &states, void *code, std::int32_t offset, const void *retval, int exceptions) noexcept
    {
        if (std::uncaught_exceptions() > exceptions)
            (void)rmon_fire_py_unwind(states.template state<event::py_unwind>(), code, offset, nullptr);
        else
            (void)rmon_fire_py_return(states.template state<event::py_return>(), code, offset,
                                      const_cast<void *>(retval));
    }

    States &states_;
    void *code_;
    std::int32_t offset_;
    int exceptions_ = 0;
    status started_ = status::ok;
    const void *retval_ = nullptr;
};

template <class States>
function_scope(States &, code_ref, std::int32_t) -> function_scope<States>;
template <class States>
function_scope(States &, code_ref) -> function_scope<States>;

} // namespace probes_off, probes_on

// ---- tools ----

/// By convention a debugger's tool id.
inline constexpr int debugger_id = RMON_DEBUGGER_ID;
/// By convention a coverage tool's tool id.
inline constexpr int coverage_id = RMON_COVERAGE_ID;
/// By convention a profiler's tool id.
inline constexpr int profiler_id = RMON_PROFILER_ID;
/// By convention an optimizer's tool id.
inline constexpr int optimizer_id = RMON_OPTIMIZER_ID;

/// What a callback answers.
enum class answer : int {
    /// Go on.
    proceed = RMON_CONTINUE,
    /// No more of this event at this location, for this tool, until restart_events.
    disable = RMON_DISABLE,
    /// An error: the fire ends, and the emitter gets status::callback.
    fail = RMON_ERR_CALLBACK,
};

namespace detail {

// Units with and without exceptions can be one program: to the linker their callbacks are different things.
#ifdef __cpp_exceptions
inline constexpr bool catches = true;
#else
inline constexpr bool catches = false;
#endif

/// Whether a callable can be compared with null, and so be null: a pointer to a function, a std::function.
template <class Callable, class = void>
inline constexpr bool can_be_null = false;
template <class Callable>
inline constexpr bool can_be_null<Callable, std::void_t<decltype(std::declval<const Callable &>() == nullptr)>>
    = !std::is_empty_v<Callable>; // a lambda without captures is a pointer to a function if need be, never null

/// A callable as rmon's callback, user data and destroy.
template <class Callable, bool Catches>
class callback {
    using returned = std::invoke_result_t<const Callable &, const rmon_event &>;
    static_assert(std::is_void_v<returned> || std::is_same_v<returned, answer> || std::is_same_v<returned, status>
                      || std::is_same_v<returned, int>,
                  "a callback returns nothing, rmon::answer, rmon::status, or an int as rmon_callback does");
    static_assert(std::is_nothrow_destructible_v<Callable>, "a callback's destructor does not throw");
    // Nothing to own: it travels in the pointer itself.
    static constexpr bool is_small = std::is_trivially_copyable_v<Callable> && sizeof(Callable) <= sizeof(void *)
                                     && (std::is_empty_v<Callable> || std::is_pointer_v<Callable>);

public:
    template <class From>
    static status set(int tool_id, event which, From &&callable)
    {
        void *data = nullptr;
        rmon_destroy destroy = nullptr;
        if constexpr (can_be_null<std::remove_cv_t<Callable>>)
            if (static_cast<const Callable &>(callable) == nullptr)
                return status::null;
        if constexpr (is_small) {
            const Callable kept(std::forward<From>(callable));
            if constexpr (std::is_pointer_v<Callable>)
                std::memcpy(&data, &kept, sizeof kept);
        } else {
            data = ::new (std::nothrow) Callable(std::forward<From>(callable));
            if (data == nullptr)
                return status::no_memory;
            destroy = [](void *owned) noexcept { ::delete static_cast<Callable *>(owned); };
        }
        // Which destroys it once, also if it fails.
        return static_cast<status>(rmon_register_callback(tool_id, static_cast<int>(which), run, data, destroy));
    }

private:
    static int run(void *data, const rmon_event *fired) noexcept
    {
        if constexpr (is_small) {
            alignas(Callable) unsigned char kept[sizeof data];
            std::memcpy(kept, &data, sizeof data);
            return guarded(*std::launder(reinterpret_cast<const Callable *>(kept)), *fired);
        } else {
            return guarded(*static_cast<const Callable *>(data), *fired);
        }
    }

    static int guarded(const Callable &callable, const rmon_event &fired) noexcept
    {
#ifdef __cpp_exceptions // as Catches says
        try {
            return answered(callable, fired);
        } catch (...) {
            return RMON_ERR_CALLBACK;
        }
#else
        return answered(callable, fired);
#endif
    }

    static int answered(const Callable &callable, const rmon_event &fired)
    {
        if constexpr (std::is_void_v<returned>) {
            callable(fired);
            return RMON_CONTINUE;
        } else {
            return static_cast<int>(callable(fired));
        }
    }
};

} // namespace detail

/// A tool: a claimed id, with its events and callbacks. Move-only. When it is destroyed or assigned to, all that it has
/// set goes, its id is given back, and then no callback of it runs any more: the destructor waits for those that other
/// threads are in. (From inside a callback it does not wait; they end later.) So who destroys a tool must not hold what
/// a callback waits for: a mutex that callbacks lock, or Python's GIL where they take it. And what callbacks use is
/// best declared before the tool, to go after it.
///
/// A tool that was moved from has no id: its functions give status::invalid_tool.
class tool {
public:
    /// Takes a tool id, 0 to 5. `name` is UTF-8, not empty, and copied. Gives status::null, status::invalid_tool,
    /// status::invalid_name or status::tool_in_use.
    static result<tool> use(int id, const char *name) noexcept
    {
        const auto how = static_cast<status>(rmon_use_tool_id(id, name));
        if (!ok(how))
            return how;
        return tool(id);
    }

    /// Takes the other's id over; `other` has none.
    tool(tool &&other) noexcept : id_(other.release()) {}
    /// Ends what it was, and takes the other's id over.
    tool &operator=(tool &&other) noexcept
    {
        if (this != &other) {
            reset();
            id_ = other.release();
        }
        return *this;
    }
    /// Ends: see above.
    ~tool() { reset(); }

    /// The id; below 0 if it was moved from, reset or released.
    [[nodiscard]] int id() const noexcept { return id_; }

    /// What the destructor does, at once.
    void reset() noexcept
    {
        if (id_ < 0)
            return;
        (void)rmon_free_tool_id(release());
        (void)rmon_synchronize(); // refused inside a callback, which must not wait for itself
    }

    /// Leaves the tool as it is to somebody else, or to the process: returns its id, and has none from now on.
    int release() noexcept { return std::exchange(id_, -1); }

    /// Sets the events that it gets from every code, instead of what was set (rmon_set_events).
    status set_events(event_set events) const noexcept
    {
        return static_cast<status>(rmon_set_events(id_, events.bits()));
    }

    /// The events that it gets from every code: BRANCH as its two directions, without what CALL implies.
    result<event_set> get_events() const noexcept
    {
        std::uint32_t bits = 0;
        const auto how = static_cast<status>(rmon_get_events(id_, &bits));
        return read(how, bits);
    }

    /// Sets the events that it gets from one code besides, instead of what was set. They last until they are changed or
    /// the code dies (rmon_set_local_events).
    status set_local_events(code_ref which, event_set events) const noexcept
    {
        return static_cast<status>(rmon_set_local_events(id_, which.get(), events.bits()));
    }

    /// The events that it gets from one code besides.
    result<event_set> get_local_events(code_ref which) const noexcept
    {
        std::uint32_t bits = 0;
        const auto how = static_cast<status>(rmon_get_local_events(id_, which.get(), &bits));
        return read(how, bits);
    }

    /// Has a callable called for an event that the tool has set, instead of what was registered for it.
    ///
    /// `callable` takes a `const rmon_event &`, which is valid until it returns, and returns nothing, an answer, a
    /// status (an error ends the fire and is its result), or an int as rmon_callback does. It is moved or copied in,
    /// and destroyed once, when it has been replaced or removed and no thread is in it any more; on any thread.
    /// Functions and lambdas without captures need no memory. It is called on the thread that fires, by several threads
    /// at once, and so as const; what it fires itself is suppressed. It may replace or remove itself, or end its tool.
    ///
    /// What it throws goes no further and counts as answer::fail; an exception of the emitter's that is in flight is
    /// left alone. (In a unit that is compiled without exceptions, what is thrown ends the program by std::terminate.)
    ///
    /// Gives status::invalid_tool, status::invalid_event, status::no_memory, or status::null for a null pointer to a
    /// function or an empty std::function. Throws only what copying or moving `callable` throws.
    template <class Callable, bool Catches = detail::catches>
    status on(event which, Callable &&callable) const
        noexcept(std::is_nothrow_constructible_v<std::decay_t<Callable>, Callable>)
    {
        using kept = std::decay_t<Callable>;
        constexpr bool fits = std::is_invocable_v<const kept &, const rmon_event &>;
        static_assert(fits, "a callback can be called as const, since threads share it, with a const rmon_event &");
        if constexpr (fits)
            return detail::callback<kept, Catches>::set(id_, which, std::forward<Callable>(callable));
        else
            return status::invalid_argument;
    }

    /// Removes the callback of an event, if there is one. A thread may still be in it: see synchronize.
    status off(event which) const noexcept
    {
        return static_cast<status>(rmon_register_callback(id_, static_cast<int>(which), nullptr, nullptr, nullptr));
    }

    /// Removes callbacks, events, local events and disabled locations; the id stays.
    status clear() const noexcept { return static_cast<status>(rmon_clear_tool_id(id_)); }

private:
    explicit tool(int id) noexcept : id_(id) {}

    static result<event_set> read(status how, std::uint32_t bits) noexcept
    {
        if (!ok(how))
            return how;
        return event_set::from_bits(bits);
    }

    int id_;
};

/// Enables all locations again that callbacks have disabled, for all tools.
inline status restart_events() noexcept
{
    return static_cast<status>(rmon_restart_events());
}

/// Waits until no callback that was removed before can be running, and until those have been destroyed. Inside a
/// callback it does not wait and gives status::in_callback.
inline status synchronize() noexcept
{
    return static_cast<status>(rmon_synchronize());
}

} // namespace v1_asleep, v1_lazy, v1_linked
} // namespace rmon

#undef RMON_PRIV_NODISCARD

#ifdef __GNUC__
#pragma GCC diagnostic pop
#endif

#endif // RMON_HPP
