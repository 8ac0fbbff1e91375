# frozen_string_literal: true

# HTTP/2 as RFC 9113 and RFC 7541 have it: the cases of spec/http2/conformance, in the order of their sections. What they ask is what public
# test suites ask of servers; see docs/http.md.

Dir[File.join(__dir__, "conformance/*.rb")].each { |file| require file }

RSpec.describe "conformance of HTTP/2", :in_process do
  let(:server) do
    run_server(lint: false, tls:) do |env|
      case env["PATH_INFO"]
      when "/path", "/env" then [200, {}, [env["PATH_INFO"] == "/path" ? env["REQUEST_URI"] || env["PATH_INFO"] : "#{env["REQUEST_METHOD"]} #{env["PATH_INFO"]}"]]
      when "/echo" then [200, {}, [env["rack.input"].read]]
      when "/header" then [200, {}, [env["HTTP_X_TEST"].to_s]]
      when "/cookie" then [200, {}, [env["HTTP_COOKIE"].to_s]]
      when "/big" then [200, {}, ["x" * 200_000]]
      when "/empty" then [200, {}, []]
      when "/fields" then [200, (1..20).to_h { |number| ["x-field-#{number}", "value #{number}"] }, []]
      when "/later"
        later.pop(timeout: Patience::SECONDS)
        [200, {}, ["later"]]
      when "/early", "/unread" then [200, {}, early]
      else [200, {}, ["ok"]]
      end
    end
  end

  # What holds a request up until the example is over.
  let(:later) { Queue.new }

  # A body that begins, and ends with the example.
  let(:early) do
    proc do |stream|
      stream.write("early")
      later.pop(timeout: Patience::SECONDS)
      stream.close
    end
  end

  after { later.close }

  verbs = { connection_error: "ends the connection: ", stream_error: "refuses: ", any_error: "refuses: ", refused: "refuses: ", closed: "closes: ", fine: "" }
  sections = Conformance.cases.group_by(&:section)

  it "has the cases that it should" do
    expect(Conformance.cases.size).to be > 140
    expect(Conformance.cases.map { |it| [it.section, it.name] }.tally.select { |_, count| count > 1 }).to be_empty
  end

  context "without TLS" do
    let(:tls) { false }

    it "RFC 9113 3.1: HTTP/2 that is asked for by Upgrade is not spoken" do
      asked = { "connection" => "Upgrade, HTTP2-Settings", "upgrade" => "h2c", "http2-settings" => "AAMAAABkAAQAAP__" }

      expect(get(server, "/", asked).status).to eq(200)
    end
  end

  { "without TLS" => false, "over TLS" => true }.each do |where, encrypted|
    context where do
      let(:tls) { encrypted }

      sections.each do |section, cases|
        describe section do
          cases.each do |kase|
            it "#{verbs.fetch(kase.expect)}#{kase.name}" do
              expect(Conformance.fault(kase, server.addresses.first)).to be_nil
            end
          end
        end
      end
    end
  end
end
