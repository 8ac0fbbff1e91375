# frozen_string_literal: true

# As a service of systemd with Type=notify, with the spec in systemd's place.

RSpec.describe "under systemd", :processes do
  it "says that it is ready, that it stops, and asks for the time that its drain takes" do
    Dir.mktmpdir do |directory|
      Socket.open(:UNIX, :DGRAM) do |systemd|
        systemd.bind(Socket.sockaddr_un("#{directory}/notify"))
        message = -> { systemd.wait_readable(30) && systemd.recv(1000) }
        server = boot("drain.ru", "--drain-delay", 600, env: { "NOTIFY_SOCKET" => "#{directory}/notify" })
        expect(message.call).to match(%r{\AREADY=1\nMAINPID=#{server.pid}\nSTATUS=serving on tcp://127\.0\.0\.1:\d+\z})
        expect(server.ready.get("/").status).to eq(200)
        server.signal(:TERM)
        expect(message.call).to start_with("STOPPING=1\n")
        expect(message.call).to eq("EXTEND_TIMEOUT_USEC=5000000")
        server.signal(:TERM)

        expect(server.exit_status).to eq(0)
      end
    end
  end
end
