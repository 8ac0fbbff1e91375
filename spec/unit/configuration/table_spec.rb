# frozen_string_literal: true

RSpec.describe "the table of options" do
  options = Tidegate::Configuration::OPTIONS

  it "uses no name, flag or environment variable twice" do
    [:flags, :envs].each do |kind|
      names = options.each_value.flat_map(&kind)
      expect(names).to eq names.uniq
    end
  end

  it "says what each means in one line that fits the help" do
    expect(options.each_value.map(&:text)).to all(match(/\A\S.{3,90}\z/))
  end

  options.each_value do |option|
    next if option.default.nil? || option.many

    it "has a default for #{option.name} that is valid itself" do
      expect(option.type.read(option.default) { |reason| raise reason }).to eq option.default
    end
  end

  it "derives flag, variable and file name from the name" do
    expect(options[:drain_delay])
      .to have_attributes(flags: ["--drain-delay"], envs: ["TIDEGATE_DRAIN_DELAY"], file: "drain_delay")
  end

  it "has a page of documentation with every option" do
    page = Tidegate::Configuration.to_markdown
    options.each_value do |option|
      expect(page).to include(option.text.gsub("|", "\\|")).and include(*option.envs, option.name.to_s)
    end
    expect(page).to include("| `port` | `-p`, `--port PORT` | `TIDEGATE_PORT`, `PORT` | 9292 |")
  end
end
