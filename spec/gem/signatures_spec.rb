# frozen_string_literal: true

# sig/tidegate.rbs and the classes say the same.
RSpec.describe "sig/tidegate.rbs" do
  # Read once, in a second or two.
  before(:context) do
    @signatures = Signatures.new
  rescue LoadError
    raise if ENV["CI"] == "true"
  end
  before { skip "the gem rbs, which comes with Ruby, is not here" unless signatures }

  attr_reader :signatures

  # The signatures of one class's own methods.
  def signed(name) = signatures.instance_methods(RBS::TypeName.new(name:, namespace: RBS::Namespace.parse("::Tidegate::")))

  options = Tidegate::Configuration::OPTIONS
  types = Tidegate::Configuration::Types.constants.to_h { |name| [Tidegate::Configuration::Types.const_get(name), name.to_s.downcase] }

  it "names only types that there are, with as many arguments as they take" do
    expect { signatures.validate }.not_to raise_error
  end

  it "has the methods of each class that it names, with their parameters, and no others" do
    expect(signatures.names.size).to be > 15
    expect(signatures.names.flat_map { |name| signatures.faults(name) }).to eq([])
  end

  it "has the superclasses and modules of each class" do
    signatures.names.each do |name|
      live = signatures.live(name)
      named = signatures.ancestors(name)
      expect(named - live.ancestors.map(&:name)).to be_empty, "#{name}: #{named}"
      expect(named).to include(live.superclass.name), "#{name}: #{named}" if live.is_a?(Class)
    end
  end

  it "has only constants that are there" do
    expect(signatures.constants.map(&:to_s)).to include("::Tidegate::VERSION")
    expect { signatures.constants.each { |name| Object.const_get(name.to_s) } }.not_to raise_error
  end

  it "has every option of the table, with its type, for Tidegate::Server.new" do
    made = signed(:Server)[:initialize]
    keywords = made.method_types.first.type.optional_keywords.keys - %i[configuration log surroundings]

    expect(keywords).to match_array(options.keys)
    options.each do |name, option|
      expect(signatures.types(made, name).first.delete("()").split(" | ").first).to eq(types[option.type]), name.to_s
    end
  end

  it "has every option of the table, with its type, for config/tidegate.rb" do
    methods = signed(:DSL)
    options.values.select(&:file).each do |option|
      expect(signatures.types(methods[option.file.to_sym]).join(" ")).to match(/\b#{types[option.type]}\b/), option.name.to_s
    end
  end

  it "has what is in a request's env for the app to use", :in_process do
    declared = signatures.builder.env.type_alias_decls.find { |name, _| name.to_s == "::Tidegate::env_entries" }.last
    entries = Queue.new
    server = run_server(lint: false, allow_underscore_headers: false) do |env|
      entries << env.keys.grep(/\A(tidegate|puma)\./)
      [200, {}, []]
    end
    connect(server).request("POST", "/", { "x_y" => "1" }, body: "a")

    expect(Patience.pop(entries)).to match_array(declared.decl.type.fields.keys)
  end

  it "has the handlers of rackup and Rails, which are what RackHandler says" do
    rack2 = Rack.release < "3"
    require rack2 ? "rack/handler/tidegate" : "rackup/handler/tidegate"
    expect((rack2 ? Rack::Handler : Rackup::Handler)::Tidegate.singleton_class).to include(Tidegate::RackHandler)

    %w[::Rack::Handler::Tidegate ::Rackup::Handler::Tidegate].each do |name|
      type = signatures.builder.env.class_decls.keys.find { |each| each.to_s == name }
      expect(signatures.builder.build_singleton(type).methods.keys).to include(:run, :valid_options)
    end
  end
end
