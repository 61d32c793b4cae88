%% Workers, supervisors and the clock; runs one trace, step by step. README.md says how and why.
-module(otp_oracle).
-behaviour(supervisor).

-export([main/1]).
%% For the supervisors.
-export([init/1, start_supervisor/1, start_worker/1, worker/3, root/1]).
%% For the changed supervisor.erl, and the log.
-export([second/0, timer/3, node_of/1, who/1]).
%% For the generator.
-export([alive/1, children/1, spec/1]).

%% What is known of a node of the tree: #{node, restart, significant, shutdown, kind,
%% parent, and strategy, auto, intensity, period, children | stop, starts}.

main([Seed, Traces]) ->
    otp_patch:load(),
    otp_events:new(),
    %% Node -> spec; node -> {pid, parent}; pid -> {node, parent}; pids; node -> starts; timers.
    [ets:new(Table, [named_table, public, ordered_set]) || Table <- tables()],
    persistent_term:put(otp_clock, atomics:new(1, [])),
    logger:remove_handler(default),
    ok = logger:add_handler(otp, otp_events, #{}),
    ok = io:setopts([{encoding, latin1}]),
    Number = list_to_integer(Seed),
    Count = list_to_integer(Traces),
    io:put_chars(head(Number, Count)),
    [io:put_chars(line(trace(Number, N))) || N <- lists:seq(1, Count)],
    halt(0, [{flush, true}]).

tables() -> [otp_specs, otp_up, otp_who, otp_supervisors, otp_starts, otp_timers].

head(Seed, Count) ->
    {ok, _} = application:ensure_all_started(stdlib),
    {ok, Version} = application:get_key(stdlib, vsn),
    io_lib:format("{\"otp\":\"~s\",\"stdlib\":\"~s\",\"seed\":~b,\"traces\":~b}~n",
                  [erlang:system_info(otp_release), Version, Seed, Count]).

line(Parts) ->
    [$[, lists:join($,, [[$", Part, $"] || Part <- Parts]), "]\n"].

%% ---- one trace ----

trace(Seed, Number) ->
    [ets:delete_all_objects(Table) || Table <- tables()],
    otp_events:clear(),
    atomics:put(persistent_term:get(otp_clock), 1, 1_000_000),
    rand:seed(exsss, {Seed, Number, 1}),
    Tree = otp_generate:tree(),
    Root = spawn_opt(?MODULE, root, [self()], [{priority, high}]),
    erlang:trace(Root, true, [procs, set_on_spawn, strict_monotonic_timestamp]),
    Root ! start,
    Start = log(Root),
    Steps = steps(Root, otp_generate:length(), []),
    Final = final(),
    erlang:trace(Root, false, [procs]),
    exit(Root, kill),
    end_all(),
    [Tree, Start] ++ Steps ++ [Final].

steps(_, 0, Done) ->
    lists:reverse(Done);
steps(Root, Left, Done) ->
    case alive(0) of
        false ->
            lists:reverse(Done);
        true ->
            {Text, Seconds, Step} = otp_generate:step(Left),
            advance(1000 * Seconds),
            do(Step, Root),
            steps(Root, Left - 1, [log(Root), Text | Done])
    end.

%% Everything that happens until nothing moves any more, as text.
log(Root) ->
    settle(Root),
    otp_events:exits(self()),
    otp_events:take().

do({crash, Node, Reason}, _) ->
    crash(Node, Reason);
do({batch, Node, Items}, _) ->
    Pid = pid(Node),
    true = erlang:suspend_process(Pid),
    [queue(Pid, Item) || Item <- Items],
    true = erlang:resume_process(Pid);
do(shutdown, Root) ->
    Root ! shutdown;
do(Call, _) ->
    call(Call).

%% An item of a batch is in the mailbox before the next one is tried.
queue(Supervisor, Item) ->
    {message_queue_len, Before} = process_info(Supervisor, message_queue_len),
    case Item of
        {crash, Node, Reason} -> crash(Node, Reason);
        Call -> call(Call)
    end,
    queued(Supervisor, Before, 1000).

queued(Supervisor, Before, Left) when Left > 0 ->
    erlang:yield(),
    case process_info(Supervisor, message_queue_len) of
        {_, More} when More =:= Before + 1 -> ok;
        {_, Before} -> queued(Supervisor, Before, Left - 1)
    end.

crash(Node, killed) -> exit(pid(Node), kill);
crash(Node, Reason) -> pid(Node) ! {die, Reason}.

%% Calls may wait for long, so each has a process of its own.
call(Call) ->
    Number = erlang:unique_integer([monotonic]),
    Supervisor = pid(supervisor_of(Call)),
    Ask = fun() -> otp_events:note({answer, Number, letter(ask(Supervisor, Call))}) end,
    spawn_opt(Ask, [{priority, high}]).

supervisor_of({start, Parent, _}) -> Parent;
supervisor_of({_, Node}) -> maps:get(parent, spec(Node)).

ask(Supervisor, Call) ->
    try
        case Call of
            {terminate, Node} -> supervisor:terminate_child(Supervisor, Node);
            {restart, Node} -> supervisor:restart_child(Supervisor, Node);
            {delete, Node} -> supervisor:delete_child(Supervisor, Node);
            {start, _, Spec} -> supervisor:start_child(Supervisor, child_spec(Spec))
        end
    catch
        exit:_ -> ended
    end.

letter(ok) -> $o;
letter({ok, _}) -> $o;
letter(ended) -> $z;
letter({error, running}) -> $r;
letter({error, restarting}) -> $g;
letter({error, not_found}) -> $f;
letter({error, {already_started, _}}) -> $a;
letter({error, already_present}) -> $p;
letter({error, {bad_combination, _}}) -> $x;
letter({error, _}) -> $e.

%% ---- what the generator may know ----

spec(Node) ->
    [{_, Spec}] = ets:lookup(otp_specs, Node),
    Spec.

alive(Node) ->
    case ets:lookup(otp_up, Node) of
        [{_, Pid, _}] -> is_process_alive(Pid);
        [] -> false
    end.

pid(Node) ->
    [{_, Pid, _}] = ets:lookup(otp_up, Node),
    Pid.

%% The children of a supervisor that lives, in the order of their starts.
children(Node) ->
    lists:reverse([{Id, Child} || {Id, Child, _, _} <- supervisor:which_children(pid(Node))]).

who(Pid) ->
    case ets:lookup(otp_who, Pid) of
        [{_, Node, Parent}] -> {Node, Parent};
        [] -> error
    end.

node_of(Pid) ->
    {Node, _} = who(Pid),
    Node.

final() ->
    case alive(0) of
        false -> "x";
        true -> lists:join($\s, [final(Node) || {Node, #{kind := supervisor}} <- specs(), alive(Node)])
    end.

specs() -> ets:tab2list(otp_specs).

final(Node) ->
    Children = [[integer_to_list(Id), sign(Child)] || {Id, Child} <- children(Node)],
    Counts = [integer_to_list(Count) || {_, Count} <- supervisor:count_children(pid(Node))],
    [integer_to_list(Node), $:, Children, $=, lists:join($., Counts)].

sign(undefined) -> $-;
sign(restarting) -> $r;
sign(Pid) when is_pid(Pid) -> $+.

end_all() ->
    [exit(Pid, kill) || {Pid, _, _} <- ets:tab2list(otp_who)],
    erlang:yield(),
    otp_events:exits(self()).

%% ---- waiting until nothing moves ----

settle(Root) ->
    settle(Root, 100_000).

settle(Root, Left) when Left > 0 ->
    erlang:yield(),
    Supervisors = [Pid || {Pid} <- ets:tab2list(otp_supervisors)],
    Pids = [Root | Supervisors ++ [Pid || {Pid, _, _} <- ets:tab2list(otp_who)]],
    States = [State || Pid <- Pids, (State = state(Pid)) =/= dead],
    case {lists:member(moving, States), lists:member(stopping, States)} of
        {true, _} -> settle(Root, Left - 1);
        {false, true} -> ring(), settle(Root, Left - 1);
        {false, false} -> false = lists:member(starting, States)
    end.

state(Pid) ->
    case process_info(Pid, [status, current_function, message_queue_len]) of
        undefined -> dead;
        [{_, waiting}, {_, {supervisor, shutdown, 1}}, _] -> stopping;
        [{_, waiting}, {_, {proc_lib, sync_start_link, 2}}, _] -> starting;
        [{_, waiting}, {_, {gen_server, loop, 7}}, {_, 0}] -> idle;
        [{_, waiting}, {_, {?MODULE, worker_loop, _}}, {_, 0}] -> idle;
        [{_, waiting}, {_, {?MODULE, root, 1}}, {_, 0}] -> idle;
        _ -> moving
    end.

%% ---- virtual time ----

second() -> atomics:get(persistent_term:get(otp_clock), 1) div 1000.

advance(Milliseconds) -> atomics:add(persistent_term:get(otp_clock), 1, Milliseconds).

timer(Monitor, _, infinity) ->
    Monitor;
timer(Monitor, Child, Time) ->
    At = atomics:get(persistent_term:get(otp_clock), 1) + Time,
    Key = {At, erlang:unique_integer([monotonic])},
    ets:insert(otp_timers, {Key, self(), Child, Monitor}),
    Monitor.

%% Moves the clock to the next timer that somebody still waits for.
ring() ->
    [{Key = {At, _}, Supervisor, Child, Monitor}] =
        ets:lookup(otp_timers, ets:first(otp_timers)),
    ets:delete(otp_timers, Key),
    case is_process_alive(Supervisor) andalso is_process_alive(Child) of
        true ->
            Now = atomics:get(persistent_term:get(otp_clock), 1),
            %% What was killed with its supervisor ends on its own time.
            is_orphan(Supervisor) orelse advance(max(0, At - Now)),
            Supervisor ! {otp_oracle_timeout, Monitor};
        false ->
            ring()
    end.

is_orphan(Pid) ->
    case who(Pid) of
        {_, Above} -> not is_process_alive(Above) orelse is_orphan(Above);
        error -> false
    end.

%% ---- supervisors ----

%% The process that the root belongs to.
root(Driver) ->
    process_flag(trap_exit, true),
    receive
        start ->
            otp_events:note({start, 0}),
            note_start(0, start_link(0)),
            root(Driver);
        shutdown ->
            exit(pid(0), shutdown),
            root(Driver);
        {'EXIT', _, _} ->
            root(Driver)
    end.

start_supervisor(Node) ->
    otp_events:note({start, Node}),
    note_start(Node, start_link(Node)).

%% What supervisor:start_link/2 does, but for the priority.
start_link(Node) ->
    gen_server:start_link(supervisor, {self, ?MODULE, Node}, [{spawn_opt, [{priority, high}]}]).

note_start(Node, Result) ->
    case Result of
        {ok, Pid} ->
            ets:insert(otp_up, {Node, Pid, self()}),
            ets:insert(otp_who, {Pid, Node, self()}),
            otp_events:note({up, Node, Pid, self()});
        {error, _} ->
            otp_events:note({failed, Node})
    end,
    Result.

init(Node) ->
    ets:insert(otp_supervisors, {self()}),
    #{strategy := Strategy, auto := Auto, intensity := Intensity, period := Period,
      children := Children} = spec(Node),
    Flags = #{strategy => Strategy, auto_shutdown => Auto, intensity => Intensity,
              period => Period},
    {ok, {Flags, [child_spec(spec(Child)) || Child <- Children]}}.

child_spec(#{node := Node, restart := Restart, significant := Significant,
             shutdown := Shutdown, kind := Kind}) ->
    Start = case Kind of
        supervisor -> start_supervisor;
        worker -> start_worker
    end,
    #{id => Node, start => {?MODULE, Start, [Node]}, restart => Restart,
      significant => Significant, shutdown => Shutdown, type => Kind}.

%% ---- workers ----

%% Runs in the supervisor.
start_worker(Node) ->
    Count = ets:update_counter(otp_starts, {starts, Node}, 1, {{starts, Node}, 0}),
    #{starts := Starts, stop := Stop, parent := Parent} = spec(Node),
    {How, Meanwhile} = case Count =< length(Starts) of
        true -> lists:nth(Count, Starts);
        false -> {up, none}
    end,
    meanwhile(Meanwhile, self(), Parent),
    case How of
        up ->
            note_start(Node, spawn_worker([Node, Stop, up]));
        ignored ->
            otp_events:note({ignored, Node}),
            ignore;
        %% Three ways to fail, by turns.
        failed when (Node + Count) rem 3 =:= 0 ->
            otp_events:note({failed, Node}),
            {error, on_purpose};
        failed when (Node + Count) rem 3 =:= 1 ->
            otp_events:note({failed, Node}),
            exit(on_purpose);
        failed ->
            note_start(Node, spawn_worker([Node, Stop, failed]))
    end.

spawn_worker(Arguments) ->
    proc_lib:start_link(?MODULE, worker, Arguments, infinity, [{priority, high}]).

worker(_, _, failed) ->
    exit(on_purpose);
worker(Node, {How, Meanwhile}, up) ->
    [Supervisor | _] = get('$ancestors'),
    %% One that has nothing to do when it is stopped leaves dying to the runtime.
    process_flag(trap_exit, {How, Meanwhile} =/= {shutdown, none}),
    proc_lib:init_ack({ok, self()}),
    worker_loop(Supervisor, How, Meanwhile, maps:get(parent, spec(Node))).

worker_loop(Supervisor, How, Meanwhile, Parent) ->
    receive
        {die, Reason} ->
            exit(Reason);
        {'EXIT', Supervisor, shutdown} when How =:= never ->
            worker_loop(Supervisor, How, Meanwhile, Parent);
        {'EXIT', Supervisor, shutdown} ->
            meanwhile(Meanwhile, Supervisor, Parent),
            exit(How);
        %% The supervisor was killed.
        {'EXIT', Supervisor, Reason} ->
            exit(Reason)
    end.

%% What happens while a child of a supervisor starts or stops; the supervisor has it in its mailbox
%% before this returns. Nothing, while the supervisor itself starts: it would come to its mailbox at the
%% same time as its own supervisor goes on.
meanwhile(none, _, _) ->
    ok;
meanwhile(What, Supervisor, Node) ->
    case who(Supervisor) of
        {Node, Above} -> meanwhile(What, Supervisor, Node, Above);
        error -> ok
    end.

meanwhile({crash, Node, Reason}, Supervisor, _, _) ->
    case ets:lookup(otp_up, Node) of
        [{_, Pid, Supervisor}] ->
            case is_process_alive(Pid) of
                true ->
                    crash(Node, Reason),
                    mailed(Supervisor, fun({'EXIT', From, _}) -> From =:= Pid; (_) -> false end);
                false ->
                    ok
            end;
        _ ->
            ok
    end;
meanwhile(terminate, _, 0, _) ->
    ok;
meanwhile(terminate, Supervisor, Node, Above) ->
    case process_info(Above, current_function) of
        {_, {gen_server, loop, 7}} ->
            call({terminate, Node}),
            mailed(Supervisor, fun({'EXIT', From, _}) -> From =:= Above; (_) -> false end);
        %% It stops the supervisor already.
        {_, {supervisor, shutdown, 1}} ->
            ok
    end.

mailed(Supervisor, Is) ->
    {messages, Messages} = process_info(Supervisor, messages),
    case lists:any(Is, Messages) of
        true -> ok;
        false -> erlang:yield(), mailed(Supervisor, Is)
    end.
