# frozen_string_literal: true

# Which server runs where none is named. Puma is installed beside ours, and would be chosen first.

RSpec.describe "tidegate/rack_default", :frameworks, :processes do
  let(:rackup) { [*ServerProcess::RUBY, Gem.bin_path("rackup", "rackup")] }

  # What `default` chooses in a process of its own that requires these files.
  def chosen(*files, env: {})
    code = files.map { |file| "require #{file.dump}; " }.join + "puts Rackup::Handler.default"
    process = track(ServerProcess.new([*ServerProcess::RUBY, "-e", code], env:))
    expect(process.exit_status).to eq(0), process.output
    process.stdout.to_s.chomp
  end

  it "makes it the server of rackup" do
    server = track(ServerProcess.new([*rackup, "-r", "tidegate/rack_default", "-o", "127.0.0.1", "-p", "0", "-E", "production",
                                      fixture("hello.ru")])).ready
    expect(server.get("/").status).to eq(200)
  end

  it "makes it the server of rails server" do
    server = rails_server("-p", 0, env: { "RUBYOPT" => "-rtidegate/rack_default" }).ready
    expect(server.get("/up").status).to eq(200)
  end

  it "is asked for: without it the first of the known ones is chosen" do
    needs "puma"
    expect(chosen("rackup/handler", "tidegate")).not_to include("Tidegate")
    expect(chosen("rackup/handler", "tidegate/rack_default")).to eq("Rackup::Handler::Tidegate")
  end

  it "gives way to the variables, and comes before another gem's default" do
    expect(chosen("tidegate/rack_default", env: { "RACKUP_HANDLER" => "webrick" })).to eq("Rackup::Handler::WEBrick")
    needs "puma"
    expect(chosen("tidegate/rack_default", "rackup", "puma/rack_default")).to eq("Rackup::Handler::Tidegate")
  end
end
