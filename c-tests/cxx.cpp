// cxx.cpp: all of rmon.h can be used from C++11: functions, lambdas as callbacks, objects as user data, std::thread.
#include <rmon.h>
#include <rmon.h>

#include "firing.h"
#include "listener.h"

#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

static_assert(sizeof(rmon_state) == 2 && alignof(rmon_state) == 1, "two bytes, for ever");
static_assert(RMON_EVENT_SET(RMON_EVENT_BRANCH) == 0x40000u, "an event set is a constant");
static_assert((RMON_LOCAL_EVENTS & RMON_ANCILLARY_EVENTS) == RMON_NO_EVENTS, "groups are constants");
static_assert(std::is_same<decltype(RMON_EVENT_SET(0)), uint32_t>::value, "an event set is a uint32_t");
static_assert(std::is_trivial<rmon_state>::value && std::is_standard_layout<rmon_event>::value, "they are C's");

namespace {

char code;
constexpr uint32_t line_and_jump = RMON_EVENT_SET(RMON_EVENT_LINE) | RMON_EVENT_SET(RMON_EVENT_JUMP);

// A scope as C++ would write it: left by whatever way.
class Scope {
public:
    Scope() { CHECK_EQ(rmon_enter_scope(states_, &version_, types, 3), RMON_OK); }
    ~Scope() { CHECK_EQ(rmon_exit_scope(), RMON_OK); }
    Scope(const Scope &) = delete;
    Scope &operator=(const Scope &) = delete;
    int start() { return rmon_fire_py_start(&states_[0], &code, 0); }
    int line(int32_t number) { return rmon_fire_line(&states_[1], &code, number * 2, number); }
    int unwind(void *exception) { return rmon_fire_py_unwind(&states_[2], &code, 0, exception); }

private:
    static const uint8_t types[3];
    rmon_state states_[3] = {};
    uint64_t version_ = 0;
};

const uint8_t Scope::types[3] = {RMON_EVENT_PY_START, RMON_EVENT_LINE, RMON_EVENT_PY_UNWIND};

struct Counter {
    std::atomic<int> calls{0};
    std::vector<std::string> heard;
};

extern "C" int count_in_c_linkage(void *user_data, const rmon_event *event)
{
    auto *counter = static_cast<Counter *>(user_data);
    counter->calls++;
    CHECK_EQ(event->struct_size, sizeof(rmon_event));
    return RMON_CONTINUE;
}

void functions_of_c_linkage_are_callbacks()
{
    Counter counter;
    CHECK_EQ(rmon_use_tool_id(RMON_PROFILER_ID, "C++"), RMON_OK);
    CHECK_EQ(rmon_register_callback(RMON_PROFILER_ID, RMON_EVENT_LINE, count_in_c_linkage, &counter, nullptr), RMON_OK);
    CHECK_EQ(rmon_set_events(RMON_PROFILER_ID, line_and_jump), RMON_OK);
    Scope scope;
    CHECK_EQ(scope.start(), RMON_OK);
    CHECK_EQ(scope.line(10), RMON_OK);
    CHECK_EQ(counter.calls.load(), 1);
}

void lambdas_without_captures_are_callbacks_and_destroys()
{
    static int destroyed;
    destroyed = 0;
    auto *counter = new Counter;
    CHECK_EQ(rmon_use_tool_id(0, "C++"), RMON_OK);
    CHECK_EQ(rmon_register_callback(
                 0, RMON_EVENT_LINE,
                 [](void *user_data, const rmon_event *event) -> int {
                     auto *self = static_cast<Counter *>(user_data);
                     self->heard.push_back(std::string(rmon_event_name(event->event)) + std::to_string(event->line));
                     return event->line == 11 ? RMON_DISABLE : RMON_CONTINUE;
                 },
                 counter,
                 [](void *user_data) {
                     delete static_cast<Counter *>(user_data);
                     destroyed++;
                 }),
             RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    Scope scope;
    for (int line : {10, 11, 11, 12})
        CHECK_EQ(scope.line(line), RMON_OK);
    CHECK((counter->heard == std::vector<std::string>{"LINE10", "LINE11", "LINE12"}));

    rmon_callback callback = nullptr;
    void *user_data = nullptr;
    CHECK_EQ(rmon_get_callback(0, RMON_EVENT_LINE, &callback, &user_data), RMON_OK);
    CHECK(callback != nullptr);
    CHECK_PTR(user_data, counter);
    CHECK_EQ(rmon_free_tool_id(0), RMON_OK);
    CHECK_EQ(rmon_synchronize(), RMON_OK);
    CHECK_EQ(destroyed, 1);
}

void function_left_by_an_exception()
{
    Scope scope;
    CHECK_EQ(scope.start(), RMON_OK);
    std::runtime_error error("an error of the emitter's own");
    CHECK_EQ(scope.unwind(&error), RMON_OK);
    throw error;
}

void scopes_may_be_left_by_exceptions()
{
    struct listener listener = {};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_PY_UNWIND, &listener);
    bool caught = false;
    try {
        function_left_by_an_exception();
    } catch (const std::runtime_error &) {
        caught = true;
    }
    CHECK(caught);
    CHECK_EQ(listener.calls, 1);
    CHECK(listener.last.object != nullptr);
}

void std_threads_fire()
{
    enum { THREADS = 4, LINES = 1000 };
    Counter counter;
    tool_opens(0);
    CHECK_EQ(rmon_register_callback(0, RMON_EVENT_LINE, count_in_c_linkage, &counter, nullptr), RMON_OK);
    CHECK_EQ(rmon_set_events(0, RMON_EVENT_SET(RMON_EVENT_LINE)), RMON_OK);
    std::vector<std::thread> threads;
    for (int i = 0; i < THREADS; i++)
        threads.emplace_back([] {
            for (int line = 0; line < LINES; line++) {
                Scope scope;
                CHECK_EQ(scope.line(line), RMON_OK);
            }
        });
    for (auto &thread : threads)
        thread.join();
    CHECK_EQ(counter.calls.load(), THREADS * LINES);
}

void every_event_is_fired_and_heard()
{
    for (int event = 0; event < RMON_EVENT_COUNT; event++) {
        struct listener listener = {};
        struct scope scope = {};
        tool_opens(3);
        tool_hears(3, event, &listener);
        scope_enters(&scope);
        CHECK_EQ(fire(event, &scope.states[event], &code, 4), RMON_OK);
        CHECK_EQ(listener.calls, 1);
        CHECK_EQ(listener.last.event, event);
        CHECK_EQ(rmon_free_tool_id(3), RMON_OK);
    }
}

void local_events_are_set_and_read()
{
    struct listener listener = {};
    uint32_t events = 0;
    tool_opens(0);
    tool_hears_in(0, &code, RMON_EVENT_LINE, &listener);
    CHECK_EQ(rmon_get_local_events(0, &code, &events), RMON_OK);
    CHECK_EQ(events, RMON_EVENT_SET(RMON_EVENT_LINE));
    {
        Scope scope;
        CHECK_EQ(scope.line(1), RMON_OK);
    }
    CHECK_EQ(listener.calls, 1);
    CHECK_EQ(rmon_code_forget(&code), RMON_OK);
    CHECK_EQ(rmon_restart_events(), RMON_OK);
    CHECK_EQ(rmon_clear_tool_id(0), RMON_OK);
}

void codes_are_objects_with_an_end()
{
    const std::string name = "templated<int>", filename = "cxx.cpp";
    const std::vector<rmon_line_entry> lines = {{0, 1}, {4, 2}};
    rmon_code_info info = {};
    info.struct_size = sizeof info;
    info.first_line = 1;
    info.name = name.c_str();
    info.filename = filename.c_str();
    info.lines = lines.data();
    info.line_count = lines.size();
    std::unique_ptr<void, void (*)(void *)> own(rmon_code_new(&info), rmon_code_release);
    rmon_code_info out = {};
    out.struct_size = sizeof out;
    CHECK_EQ(rmon_code_describe(own.get(), &out), RMON_OK);
    CHECK(name == out.name);
    CHECK(name == out.qualname);
    CHECK_EQ(out.line_count, 2);
    void *address = own.get();
    own.reset();
    CHECK_EQ(rmon_code_describe(address, &out), RMON_ERR_UNKNOWN_CODE);
}

void hosts_are_made_of_lambdas()
{
    static int exception;
    rmon_host host = {};
    host.struct_size = sizeof host;
    host.user_data = &exception;
    host.current_exception = [](void *user_data) -> void * { return user_data; };
    host.describe = [](void *, void *, int, rmon_code_info *info) -> int {
        info->name = "described";
        info->filename = "cxx.cpp";
        return RMON_OK;
    };
    CHECK_EQ(rmon_set_host(&host), RMON_OK);
    struct listener listener = {};
    struct scope scope = {};
    tool_opens(0);
    tool_hears(0, RMON_EVENT_RAISE, &listener);
    scope_enters(&scope);
    CHECK_EQ(PyMonitoring_FireRaiseEvent(&scope.states[RMON_EVENT_RAISE], &code, 0), 0);
    CHECK_PTR(listener.last.object, &exception);
    rmon_code_info out = {};
    out.struct_size = sizeof out;
    CHECK_EQ(rmon_code_describe(&code, &out), RMON_OK);
    CHECK_TEXT(out.name, "described");
    CHECK_EQ(rmon_set_host(nullptr), RMON_OK);
}

void cpythons_names_are_there()
{
    struct listener listener = {};
    PyMonitoringState states[2] = {};
    uint64_t version = 0;
    const uint8_t types[] = {PY_MONITORING_EVENT_LINE, PY_MONITORING_EVENT_JUMP};
    int target = 0;
    tool_opens(0);
    tool_hears(0, RMON_EVENT_LINE, &listener);
    tool_hears(0, RMON_EVENT_JUMP, &listener);
    CHECK_EQ(PyMonitoring_EnterScope(states, &version, types, 2), 0);
    CHECK_EQ(PyMonitoring_FireLineEvent(&states[0], &code, 0, 7), 0);
    CHECK_EQ(listener.last.line, 7);
    CHECK_EQ(PyMonitoring_FireJumpEvent(&states[1], &code, 0, &target), 0);
    CHECK_PTR(listener.last.object, &target);
    CHECK_EQ(PyMonitoring_FireJumpEvent(&states[1], &code, -1, &target), -1);
    CHECK_EQ(PyMonitoring_ExitScope(), 0);
}

void versions_and_texts_are_there()
{
    CHECK_EQ(rmon_version_number(), RMON_VERSION_NUMBER);
    CHECK_EQ(rmon_abi_version(), RMON_ABI_VERSION);
    CHECK(std::string(rmon_version()).find('.') != std::string::npos);
    CHECK(!std::string(rmon_status_message(RMON_ERR_TOOL_IN_USE)).empty());
}

}  // namespace

int main()
{
    RUN(functions_of_c_linkage_are_callbacks);
    RUN(lambdas_without_captures_are_callbacks_and_destroys);
    RUN(scopes_may_be_left_by_exceptions);
    RUN(std_threads_fire);
    RUN(every_event_is_fired_and_heard);
    RUN(local_events_are_set_and_read);
    RUN(codes_are_objects_with_an_end);
    RUN(hosts_are_made_of_lambdas);
    RUN(cpythons_names_are_there);
    RUN(versions_and_texts_are_there);
    return check_result();
}
