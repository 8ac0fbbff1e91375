# frozen_string_literal: true

RSpec.describe "Capybara", :frameworks, :processes do
  it "runs system tests on :tidegate, several servers in one process, and the run ends" do
    needs "capybara"
    tests = track(ServerProcess.new([*ServerProcess::RUBY, fixture("capybara.rb")]))

    expect(tests.exit_status).to eq(0)
    software = "tidegate/#{Tidegate::VERSION}"
    expect(tests.stdout.to_s.lines(chomp: true))
      .to eq ["one: #{software}, true", "two: #{software}, true", "2", "raised in the test: on purpose", "TERM: DEFAULT"]
  end
end
