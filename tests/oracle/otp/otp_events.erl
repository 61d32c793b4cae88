%% What happened during a trace, in order, and as text.
-module(otp_events).
-export([new/0, clear/0, note/1, exits/1, take/0, log/2]).

new() ->
    ets:new(?MODULE, [named_table, public, ordered_set]),
    ets:new(otp_dead, [named_table, public, set]),
    clear().

clear() ->
    ets:delete_all_objects(?MODULE),
    ets:delete_all_objects(otp_dead),
    ok.

%% {start, Node} | {up, Node, Pid, Parent} | {failed, Node} | {ignored, Node} | {intensity, Node}
%% | {exit, Pid, Reason} | {answer, Number, Letter}
note(What) ->
    ets:insert(?MODULE, {erlang:unique_integer([monotonic]), What}),
    ok.

%% The exits among the messages of a tracer; their timestamps are of the same counter.
exits(Tracer) ->
    Reference = erlang:trace_delivered(all),
    receive {trace_delivered, all, Reference} -> ok end,
    exits_in(Tracer).

exits_in(Tracer) ->
    receive
        {trace_ts, Pid, exit, Reason, {_, Number}} ->
            ets:insert(?MODULE, {Number, {exit, Pid, Reason}}),
            exits_in(Tracer);
        Trace when element(1, Trace) =:= trace_ts ->
            exits_in(Tracer)
    after 0 ->
        ok
    end.

%% logger's callback: supervisors say when they reach their intensity.
log(#{msg := {report, #{label := {supervisor, shutdown}, report := Report}}}, _) ->
    {reason, reached_max_restart_intensity} = lists:keyfind(reason, 1, Report),
    {supervisor, {Pid, _}} = lists:keyfind(supervisor, 1, Report),
    note({intensity, otp_oracle:node_of(Pid)});
log(_, _) ->
    ok.

%% The text of what happened since the last time.
take() ->
    All = [What || {_, What} <- ets:tab2list(?MODULE)],
    ets:delete_all_objects(?MODULE),
    {Text, Orphans} = events(All, [], #{}),
    Letters = [Letter || {_, Letter} <- lists:sort([{N, L} || {answer, N, L} <- All])],
    Log = lists:reverse([orphans(Part, Orphans) || Part <- Text]),
    iolist_to_binary([Log | [[$| | Letters] || Letters =/= []]]).

events([], Text, Orphans) ->
    {Text, Orphans};
events([{answer, _, _} | Rest], Text, Orphans) ->
    events(Rest, Text, Orphans);
events([{exit, Pid, Reason} | Rest], Text, Orphans) ->
    case otp_oracle:who(Pid) of
        %% It never was up: its start says that it failed.
        error ->
            events(Rest, Text, Orphans);
        {Node, Parent} ->
            ets:insert(otp_dead, {Pid, ets:info(otp_dead, size)}),
            case first_dead(Parent, none) of
                none ->
                    Part = {exit, Pid, [$-, integer_to_list(Node), reason(Reason)]},
                    events(Rest, [Part | Text], Orphans);
                {_, Dead} ->
                    Add = fun(Nodes) -> [Node | Nodes] end,
                    events(Rest, Text, maps:update_with(Dead, Add, [Node], Orphans))
            end
    end;
events([Event | Rest], Text, Orphans) ->
    events(Rest, [event(Event) | Text], Orphans).

event({start, Node}) -> [$(, integer_to_list(Node)];
event({up, Node, _, _}) -> [$+, integer_to_list(Node)];
event({failed, Node}) -> [$!, integer_to_list(Node)];
event({ignored, Node}) -> [$~, integer_to_list(Node)];
event({intensity, Node}) -> [$^, integer_to_list(Node)].

%% Of the supervisors above that are dead, the one that died first.
first_dead(Pid, Found) ->
    case otp_oracle:who(Pid) of
        error ->
            Found;
        {_, Parent} ->
            case ets:lookup(otp_dead, Pid) of
                [{_, Order}] when Found =:= none; Order < element(1, Found) ->
                    first_dead(Parent, {Order, Pid});
                _ ->
                    first_dead(Parent, Found)
            end
    end.

orphans({exit, Pid, Text}, Orphans) ->
    case Orphans of
        #{Pid := Nodes} ->
            Names = [integer_to_list(Node) || Node <- lists:sort(Nodes)],
            [Text, $[, lists:join($,, Names), $]];
        _ ->
            Text
    end;
orphans(Text, _) ->
    Text.

reason(normal) -> $n;
reason(shutdown) -> $s;
reason({shutdown, _}) -> $t;
reason(killed) -> $k;
reason(_) -> $e.
