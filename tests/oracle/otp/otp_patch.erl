%% Puts virtual time into the installed OTP's own supervisor.erl, and loads the result in its place.
-module(otp_patch).
-export([load/0, source/0]).

load() ->
    File = source(),
    {ok, Text} = file:read_file(File),
    Patched = lists:foldl(fun patch/2, Text, patches()),
    Forms = forms(Patched, File),
    {ok, supervisor, Binary} = compile:forms(Forms, []),
    code:unstick_mod(supervisor),
    {module, supervisor} = code:load_binary(supervisor, File, Binary),
    ok.

source() ->
    File = filename:join([code:lib_dir(stdlib), "src", "supervisor.erl"]),
    filelib:is_regular(File) orelse
        stop("there is no ~ts: install OTP's sources (Debian: erlang-src)", [File]),
    File.

%% Each text stands in the file exactly once.
patches() ->
    [%% The clock that restarts are counted on.
     {<<"erlang:monotonic_time(1)">>,
      <<"otp_oracle:second()">>},
     %% The timer of a shutdown: its start,
     {<<"    Mon = monitor(process, Pid),\n"
        "    exit(Pid, shutdown),\n">>,
      <<"    Mon = otp_oracle:timer(monitor(process, Pid), Pid, Time),\n"
        "    exit(Pid, shutdown),\n">>},
     %% and its end.
     {<<"    after Time ->\n"
        "        exit(Pid, kill),\n">>,
      <<"    ; {otp_oracle_timeout, Mon} ->\n"
        "        exit(Pid, kill),\n">>}].

patch({From, To}, Text) ->
    case binary:split(Text, From, [global]) of
        [Before, After] -> <<Before/binary, To/binary, After/binary>>;
        Parts -> stop("supervisor.erl has this ~b times, not once:~n~ts~n"
                      "(another version of OTP; look at what became of it)",
                      [length(Parts) - 1, From])
    end.

forms(Text, File) ->
    Copy = filename:join(filename:dirname(code:which(?MODULE)), "supervisor.erl"),
    ok = file:write_file(Copy, Text),
    Include = filename:join(code:lib_dir(kernel), "include"),
    {ok, Forms} = epp:parse_file(Copy, [{includes, [filename:dirname(File), Include]}]),
    Forms.

stop(Format, Arguments) ->
    io:format(standard_error, "otp_patch: " ++ Format ++ "~n", Arguments),
    halt(1).
