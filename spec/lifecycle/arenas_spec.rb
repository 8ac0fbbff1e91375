# frozen_string_literal: true

RSpec.describe "the heap of a server process", :processes do
  before { skip "this system has no glibc" unless RUBY_PLATFORM.match?(/x86_64-linux(?:-gnu)?\z/) && `ldd --version 2>&1`.match?(/GNU|GLIBC/) }

  def arenas(**env) = serve("arenas.ru", env: env.transform_keys(&:to_s)).get("/").body.to_i

  it "has two arenas, the first and one more, however many threads there are" do
    expect(arenas).to eq(1)
  end

  it "has as many as the environment says" do
    expect(arenas(MALLOC_ARENA_MAX: "5")).to eq(4)
    expect(arenas(GLIBC_TUNABLES: "glibc.malloc.arena_max=5")).to eq(4)
  end
end
