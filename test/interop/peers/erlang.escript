#!/usr/bin/env escript
%% A peer over Erlang/OTP's ssl. Reads commands, Erlang terms that end with a full stop, and prints a line for all that happens:
%%   {serve, Options}.               prints `listening Port`; sends back what comes on each connection
%%   {visit, Port, Options, Steps}.  one connection, with lines of digits that are expected back in reverse
%%   {again, Port, Options, Steps}.  the same, offering the ticket that the step `ticket` has kept

main(_) ->
  {ok, _} = application:ensure_all_started(ssl),
  logger:set_primary_config(level, none),
  read(1).

read(Line) ->
  case io:read(standard_io, '', Line) of
    {ok, {serve, Options}, Next} -> serve(Options), read(Next);
    {ok, {visit, Port, Options, Steps}, Next} -> visit(Port, Options, Steps), read(Next);
    {ok, {again, Port, Options, Steps}, Next} ->
      visit(Port, [{session_tickets, manual}, {use_ticket, [get(ticket)]} | Options], Steps),
      read(Next);
    _ -> ok
  end.

serve(Options) ->
  {ok, Listener} = ssl:listen(0, [binary, {active, false}, {ip, {127, 0, 0, 1}} | Options]),
  {ok, {_, Port}} = ssl:sockname(Listener),
  spawn(fun() -> accept(Listener) end),
  io:format("listening ~p~n", [Port]).

accept(Listener) ->
  {ok, Waiting} = ssl:transport_accept(Listener),
  Handler = spawn(fun() ->
    receive go -> ok end,
    case ssl:handshake(Waiting, 20000) of
      {ok, Socket} -> io:format("accepted ~s~n", [told(Socket)]), sendBack(Socket);
      {error, Reason} -> io:format("failed ~0p~n", [Reason])
    end
  end),
  ssl:controlling_process(Waiting, Handler),
  Handler ! go,
  accept(Listener).

sendBack(Socket) ->
  case ssl:recv(Socket, 0) of
    {ok, <<"update\n">>} ->
      ok = ssl:update_keys(Socket, read_write),
      ok = ssl:send(Socket, <<"update\n">>),
      sendBack(Socket);
    {ok, Data} -> ok = ssl:send(Socket, Data), sendBack(Socket);
    {error, _} -> ssl:close(Socket)
  end.

visit(Port, Options, Steps) ->
  forgetTickets(),
  case ssl:connect({127, 0, 0, 1}, Port, [binary, {active, false} | Options], 20000) of
    {ok, Socket} ->
      Told = told(Socket),
      Results = [catch step(Step, Socket) || Step <- Steps],
      io:format("visit ~s ~0p~n", [Told, Results]),
      ssl:close(Socket);
    {error, Reason} -> io:format("visit failed ~0p~n", [Reason])
  end.

forgetTickets() ->
  receive _ -> forgetTickets() after 0 -> ok end.

step({exchange, Length}, Socket) ->
  exchange(Socket, Length, fun(Line) -> ok = ssl:send(Socket, Line) end);
step({bytewise, Length}, Socket) ->
  exchange(Socket, Length, fun(Line) -> [ok = ssl:send(Socket, <<Byte>>) || <<Byte>> <= Line] end);
step({update, Which}, Socket) -> ssl:update_keys(Socket, Which);
step({early, Length}, Socket) -> ssl:recv(Socket, Length, 20000);
step(alpn, Socket) -> ssl:negotiated_protocol(Socket);
step(ticket, _) ->
  receive {ssl, session_ticket, Ticket} -> put(ticket, Ticket), kept after 5000 -> none end.

exchange(Socket, Length, Send) ->
  Digits = [$0 + rand:uniform(10) - 1 || _ <- lists:seq(2, Length)],
  Send(list_to_binary([Digits, $\n])),
  Expected = list_to_binary([lists:reverse(Digits), $\n]),
  {ok, Expected} = ssl:recv(Socket, Length, 20000),
  same.

told(Socket) ->
  case ssl:connection_information(Socket, [protocol, session_resumption]) of
    {ok, [{protocol, Version}, {session_resumption, Resumed}]} -> io_lib:format("~s resumed ~p", [Version, Resumed]);
    {error, Reason} -> io_lib:format("ended ~0p", [Reason])
  end.
