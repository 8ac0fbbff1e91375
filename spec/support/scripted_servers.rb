# frozen_string_literal: true

# For specs of clients: servers that follow a script (see ScriptedServer), ended after the example.

module ScriptedServers
  def scripted(*scripts, &script)
    ScriptedServer.new(*scripts, *script).tap { |server| (@scripted ||= []) << server }
  end

  # A port on which no process listens, and that none can take: it is bound.
  def closed_port
    socket = Socket.new(:INET, :STREAM)
    socket.bind(Addrinfo.tcp("127.0.0.1", 0))
    (@scripted ||= []) << socket
    socket.local_address.ip_port
  end

  # So that clients which are still connected see an end.
  def end_scripted
    @scripted&.each(&:close)
    @scripted = nil
  end
end

RSpec.configure do |config|
  config.include ScriptedServers, :scripted
  config.after(:each, :scripted) { end_scripted }
end
