# frozen_string_literal: true

# For specs of a server's last moments: puts things before it while it stands still, and reads what came of them. The
# example group says what `server` is.

module Endings
  SUMMARY = /^tidegate: drain: done in [\d.]+s \(.*?\) (?<counts>.*)$/

  # Runs the block while the server stands still, and has signals wait for it together with what the block does.
  def stopping_meanwhile(*signals)
    server.frozen do
      yield
      (signals.empty? ? [:TERM] : signals).each { |signal| server.signal(signal) }
    end
  end

  def closing
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: closing: SIGTERM/)
  end

  def draining
    server.signal(:TERM)
    server.wait_for_line(/^tidegate: draining: SIGTERM/)
  end

  # Through closing to where nothing is waited for any more, on a server without a drain delay.
  def forcing
    ["closing: SIGTERM", "SIGTERM: still finishing", "forcing: SIGTERM"].each do |line|
      server.signal(:TERM)
      server.wait_for_line(/^tidegate: #{line}/)
    end
  end

  def post(body, target: "/echo", version: "1.1")
    "POST #{target} HTTP/#{version}\r\nHost: a\r\nContent-Length: #{body.bytesize}\r\n\r\n#{body}"
  end

  # A response that tells the client to leave, and an orderly end after it. +close+ is nil where the response may as
  # well have gone out before the signal was seen.
  def expect_answer(wire, body, close: true)
    response = wire.response

    expect([response.status, response.body, close && response.close?]).to eq([200, body, close])
    expect(wire).to be_eof
    wire.close
  end

  # The same, and the server has nothing more to wait for.
  def expect_last_answer(wire, body, **)
    expect_answer(wire, body, **)
    expect(server.exit_status).to eq(0)
  end

  # The counters of the line that the server says in the end.
  def summary
    counts = server.wait_for_line(SUMMARY)[:counts]
    counts.scan(/(\w+)=([\d.]+)/).to_h { |name, value| [name.to_sym, value.to_i] }
  end
end

RSpec.configure { |config| config.include Endings, :endings }
