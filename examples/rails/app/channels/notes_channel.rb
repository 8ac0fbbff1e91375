# frozen_string_literal: true

# New notes, to everybody who looks; and what somebody says, to everybody else.
class NotesChannel < ApplicationCable::Channel
  def subscribed = stream_from("notes")

  def say(data) = ActionCable.server.broadcast("notes", { said: data["text"] })
end
