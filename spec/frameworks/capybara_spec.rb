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

  # `Capybara.server = :tidegate` raised in a test of an app whose Gemfile has both, and without it Capybara asked for Puma.
  it "takes Tidegate in a Rails app where Puma is not in the bundle, also outside of system tests" do
    needs "capybara"
    needs "railties"
    script = <<~RUBY
      require "rails"
      require "action_controller/railtie"
      require "capybara"
      require "tidegate"
      class App < Rails::Application
        config.eager_load = false
        config.logger = Logger.new(nil)
      end
      App.initialize!
      print Capybara.server.equal?(Capybara.servers[:tidegate])
      Capybara.server = :tidegate
    RUBY
    process = track(ServerProcess.new([*ServerProcess::RUBY, "-e", script]))

    expect(process.exit_status).to eq(0), process.output
    expect(process.stdout.to_s).to eq("true")
  end

  it "is what rackup takes with tidegate/rack_default" do
    needs "puma"
    script = 'require "tidegate/rack_default"; print Rackup::Handler.default.name'
    process = track(ServerProcess.new([*ServerProcess::RUBY, "-e", script]))

    expect(process.exit_status).to eq(0)
    expect(process.output).to eq("Rackup::Handler::Tidegate")
  end
end
