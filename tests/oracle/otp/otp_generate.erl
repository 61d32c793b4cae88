%% Random trees, and random steps that fit the present state; both with their text (README.md).
-module(otp_generate).
-export([tree/0, length/0, step/1]).

-define(DEPTH, 4).

%% ---- trees ----

%% Makes up the tree whose root is 0, and gives its text.
tree() ->
    put(next, 0),
    put(budget, 4 + rand:uniform(8)),
    %% Some traces are about a worker that fails over and over.
    put(hot, none),
    Root = new_node(),
    {Fields, Text} = supervisor(Root, 1),
    keep(Root, Fields#{node => Root, parent => none}),
    Text.

new_node() ->
    Node = get(next),
    put(next, Node + 1),
    put(budget, get(budget) - 1),
    Node.

keep(Node, Spec) -> ets:insert(otp_specs, {Node, Spec}).

supervisor(Node, Depth) ->
    Strategy = pick([one_for_one, one_for_all, rest_for_one]),
    Auto = weighted([{5, never}, {2, any_significant}, {3, all_significant}]),
    Intensity = weighted([{2, 0}, {5, 1}, {5, 2}, {3, 3}, {1, 5}]),
    Period = rand:uniform(6),
    Count = weighted([{2, 1}, {5, 2}, {4, 3}, {2, 4}]),
    Children = children(Node, Auto, Depth, Count, []),
    Text = [$(, strategy(Strategy), auto(Auto), integer_to_list(Intensity), $/,
            integer_to_list(Period), $\s, lists:join($,, [T || {_, T} <- Children]), $)],
    {#{kind => supervisor, strategy => Strategy, auto => Auto, intensity => Intensity,
       period => Period, children => [Child || {Child, _} <- Children]}, Text}.

children(_, _, _, 0, Done) ->
    lists:reverse(Done);
children(Parent, Auto, Depth, Left, Done) ->
    Siblings = [Child || {Child, _} <- Done],
    Child = child(Parent, Auto, Depth, Siblings, true),
    children(Parent, Auto, Depth, Left - 1, [Child | Done]).

%% A child that its supervisor accepts, or one that it refuses.
child(Parent, Auto, Depth, Siblings, Valid) ->
    Node = new_node(),
    Nested = Valid andalso Depth < ?DEPTH andalso get(budget) > 0 andalso chance(35),
    {Restart, Significant} = restart(Auto, Valid),
    {Fields, Text} = case Nested of
        true -> supervisor(Node, Depth + 1);
        false -> worker(Siblings)
    end,
    Shutdown = shutdown(Fields),
    keep(Node, Fields#{node => Node, parent => Parent, restart => Restart,
                       significant => Significant, shutdown => Shutdown, depth => Depth}),
    Mark = case Significant of true -> "!"; false -> "" end,
    {Node, [restart(Restart), Mark, shutdown_text(Shutdown), $:, Text]}.

restart(never, true) ->
    {pick([permanent, transient, temporary]), false};
restart(_, true) ->
    Restart = pick([permanent, transient, temporary]),
    {Restart, Restart =/= permanent andalso chance(60)};
restart(never, false) ->
    {pick([permanent, transient, temporary]), true};
restart(_, false) ->
    {permanent, true}.

shutdown(#{kind := supervisor}) ->
    weighted([{7, infinity}, {1, brutal_kill}, {1, 1000}, {1, 2000}]);
shutdown(#{stop := {never, _}}) ->
    weighted([{2, brutal_kill}, {3, 1000}, {2, 2000}, {1, 3000}]);
shutdown(_) ->
    weighted([{2, brutal_kill}, {6, 1000}, {1, 2000}, {1, infinity}]).

worker(Siblings) ->
    Stop = weighted([{14, shutdown}, {3, never}, {2, normal}, {2, on_purpose}]),
    {StopCrash, StopText} = case Stop =/= never andalso chance(6) of
        true -> crash_of(Siblings);
        false -> {none, ""}
    end,
    Count = weighted([{14, 0}, {2, 1}, {4, 2}, {2, 3}, {1, 4}]),
    Starts = [start(N, Siblings) || N <- lists:seq(1, Count)],
    {#{kind => worker, stop => {Stop, StopCrash}, starts => [Start || {Start, _} <- Starts]},
     [stop(Stop), StopText, [Text || {_, Text} <- Starts]]}.

%% First starts mostly succeed, or there would be little to see.
start(1, Siblings) ->
    start_with(weighted([{30, up}, {2, failed}, {2, ignored}]), Siblings);
start(_, Siblings) ->
    start_with(weighted([{3, up}, {6, failed}, {1, ignored}]), Siblings).

start_with(How, Siblings) ->
    {Meanwhile, Text} = case rand:uniform(100) of
        N when N =< 12 -> crash_of(Siblings);
        N when N =< 18 -> {terminate, "#"};
        _ -> {none, ""}
    end,
    Letter = case How of up -> $+; failed -> $f; ignored -> $i end,
    {{How, Meanwhile}, [Letter, Text]}.

crash_of([]) ->
    {none, ""};
crash_of(Siblings) ->
    case [Node || Node <- Siblings, is_worker(Node)] of
        [] ->
            {none, ""};
        Workers ->
            Node = pick(Workers),
            {Reason, Letter} = reason(),
            {{crash, Node, Reason}, [$@, integer_to_list(Node), Letter]}
    end.

is_worker(Node) -> maps:get(kind, otp_oracle:spec(Node)) =:= worker.

%% ---- steps ----

length() -> 3 + rand:uniform(6).

%% {text, seconds that pass before, what to do}; `Left` steps are left.
step(1) ->
    case chance(40) of
        true -> {"Z", 0, shutdown};
        false -> step(2)
    end;
step(_) ->
    Seconds = weighted([{6, 0}, {2, 1}, {1, 2}, {1, 4}, {1, 6}]),
    {Text, Step} = something(),
    Before = case Seconds of 0 -> ""; _ -> integer_to_list(Seconds) end,
    {[Before, Text], Seconds, Step}.

something() ->
    Kind = weighted([{60, crash}, {14, batch}, {5, terminate}, {5, restart}, {4, delete},
                     {5, start}, {1, exists}, {1, invalid}]),
    case something(Kind) of
        none -> something();
        Step -> Step
    end.

something(crash) ->
    case [Node || Node <- living(worker)] of
        [] -> some(call(terminate, pick(living(supervisor))));
        Workers -> crash(hot(Workers))
    end;
something(batch) ->
    batch(pick(living(supervisor)));
something(start) ->
    Parent = pick(living(supervisor)),
    #{auto := Auto} = Spec = otp_oracle:spec(Parent),
    put(budget, rand:uniform(3)),
    Siblings = [Id || {Id, _} <- otp_oracle:children(Parent)],
    {Node, Text} = child(Parent, Auto, depth_below(Spec), Siblings, true),
    {[$A, integer_to_list(Parent), $:, Text], {start, Parent, otp_oracle:spec(Node)}};
something(exists) ->
    case otp_oracle:children(pick(living(supervisor))) of
        [] ->
            none;
        Children ->
            {Node, _} = pick(Children),
            #{parent := Parent} = Spec = otp_oracle:spec(Node),
            {[$E, integer_to_list(Node)], {start, Parent, Spec}}
    end;
something(invalid) ->
    Parent = pick(living(supervisor)),
    #{auto := Auto} = otp_oracle:spec(Parent),
    {Node, Text} = child(Parent, Auto, ?DEPTH, [], false),
    Spec = otp_oracle:spec(Node),
    ets:delete(otp_specs, Node),
    put(next, Node),
    {[$I, integer_to_list(Parent), $:, Text], {start, Parent, Spec}};
something(Call) ->
    some(call(Call, pick(living(supervisor)))).

some(none) -> none;
some(Step) -> Step.

depth_below(#{parent := none}) -> 1;
depth_below(#{depth := Depth}) -> Depth + 1.

living(Kind) ->
    [Node || {Node, #{kind := K}} <- ets:tab2list(otp_specs), K =:= Kind,
             otp_oracle:alive(Node)].

%% Mostly the one that crashed last.
hot(Workers) ->
    Hot = get(hot),
    Node = case lists:member(Hot, Workers) andalso chance(60) of
        true -> Hot;
        false -> pick(Workers)
    end,
    put(hot, Node),
    Node.

crash(Node) ->
    {Reason, Letter} = reason(),
    {[$c, integer_to_list(Node), Letter], {crash, Node, Reason}}.

%% A call about any child of the supervisor, or about one that was there once.
call(What, Supervisor) ->
    Known = [Node || {Node, #{parent := Parent}} <- ets:tab2list(otp_specs),
                     Parent =:= Supervisor],
    case Known of
        [] -> none;
        _ ->
            Node = pick(Known),
            {[letter(What), integer_to_list(Node)], {What, Node}}
    end.

letter(terminate) -> $T;
letter(restart) -> $R;
letter(delete) -> $D.

%% Calls take part only where a worker that is not concerned keeps the supervisor from ending before it
%% comes to them.
batch(Supervisor) ->
    Workers = shuffle([Id || {Id, Pid} <- otp_oracle:children(Supervisor),
                             is_pid(Pid), is_worker(Id)]),
    case Workers of
        [_, _ | _] ->
            Count = min(erlang:length(Workers), 1 + rand:uniform(2)),
            {Concerned, Rest} = lists:split(Count, Workers),
            Crashes = [crash(Node) || Node <- Concerned],
            Calls = case Rest of
                [] -> [];
                _ -> [call(pick([terminate, restart, delete]), Supervisor)
                      || _ <- lists:seq(1, rand:uniform(2))]
            end,
            Items = shuffle(Crashes ++ [Call || Call <- Calls, not about(Call, Rest)]),
            {[$b, integer_to_list(Supervisor), $:, lists:join($,, [Text || {Text, _} <- Items])],
             {batch, Supervisor, [Item || {_, Item} <- Items]}};
        _ ->
            none
    end.

about({_, {_, Node}}, Nodes) -> lists:member(Node, Nodes).

%% ---- letters ----

strategy(one_for_one) -> $o;
strategy(one_for_all) -> $a;
strategy(rest_for_one) -> $r.

auto(never) -> $n;
auto(any_significant) -> $y;
auto(all_significant) -> $l.

restart(permanent) -> $P;
restart(transient) -> $T;
restart(temporary) -> $X.

shutdown_text(brutal_kill) -> $k;
shutdown_text(infinity) -> $i;
shutdown_text(Milliseconds) -> integer_to_list(Milliseconds div 1000).

stop(shutdown) -> $p;
stop(normal) -> $n;
stop(on_purpose) -> $e;
stop(never) -> $s.

reason() ->
    weighted([{11, {on_purpose, $e}}, {2, {killed, $k}}, {3, {normal, $n}}, {2, {shutdown, $s}},
              {2, {{shutdown, on_purpose}, $t}}]).

%% ---- chance ----

chance(Percent) -> rand:uniform(100) =< Percent.

pick(List) -> lists:nth(rand:uniform(erlang:length(List)), List).

weighted(Choices) ->
    Total = lists:sum([Weight || {Weight, _} <- Choices]),
    weighted(rand:uniform(Total), Choices).

weighted(Number, [{Weight, Choice} | _]) when Number =< Weight -> Choice;
weighted(Number, [{Weight, _} | Rest]) -> weighted(Number - Weight, Rest).

shuffle(List) -> [Item || {_, Item} <- lists:sort([{rand:uniform(), Item} || Item <- List])].
