# frozen_string_literal: true

RSpec.describe "Capybara", :frameworks, :processes do
  it "runs its tests against :tidegate, in their own process" do
    needs "capybara"
    script = <<~RUBY
      require "tidegate/capybara"
      require "net/http"
      Capybara.server = :tidegate
      app = ->(env) { [200, { "content-type" => "text/plain" }, ["seen by \#{Thread.current.name}"]] }
      2.times do
        server = Capybara::Server.new(app).boot
        puts Net::HTTP.get(URI("http://\#{server.host}:\#{server.port}/"))
      end
    RUBY
    process = track(ServerProcess.new([*ServerProcess::RUBY, "-e", script]))

    expect(process.exit_status).to eq(0)
    expect(process.output.scan(/seen by tidegate worker/).size).to eq(2)
  end

  it "is what rackup takes with tidegate/rack_default" do
    needs "puma"
    script = 'require "tidegate/rack_default"; print Rackup::Handler.default.name'
    process = track(ServerProcess.new([*ServerProcess::RUBY, "-e", script]))

    expect(process.exit_status).to eq(0)
    expect(process.output).to eq("Rackup::Handler::Tidegate")
  end
end
