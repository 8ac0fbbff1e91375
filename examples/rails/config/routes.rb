# frozen_string_literal: true

Rails.application.routes.draw do
  get "up" => "rails/health#show"
  root "notes#index"
  resources :notes, only: %i[index create show destroy] do
    get :attachment, on: :member
  end
  get "visits" => "visits#show"
  get "ticks" => "ticks#show"
  get "export" => "exports#show"
end
