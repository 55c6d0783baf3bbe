using System.Text.Json;
using Flint.Dialects;

namespace Flint.App.Api;

/// <summary>Which calls the model may make, or must.</summary>
/// <param name="Offers">Whether it is offered functions at all.</param>
/// <param name="IsForced">Whether it must call one.</param>
/// <param name="Name">The one that it must call; null for any.</param>
internal sealed record ToolChoice(bool Offers = true, bool IsForced = false, string? Name = null)
{
    /// <summary>The field.</summary>
    public const string Field = "tool_choice";

    /// <summary>Reads <c>tool_choice</c> of OpenAI's APIs: <c>auto</c>, <c>none</c>, <c>required</c>, or the function that is to be called.</summary>
    /// <exception cref="ApiException">It is none of its values, or forces a call that there is no function for.</exception>
    public static ToolChoice Read(JsonFields body, List<ToolDefinition> tools)
    {
        if (!body.TryGet(Field, out JsonElement value))
            return new ToolChoice();
        if (value.ValueKind == JsonValueKind.Object)
        {
            var fields = new JsonFields(value, Field);
            string type = fields.RequiredText("type");
            if (type != "function")
                throw ApiException.Unsupported(fields.PathOf("type"), $"Unsupported value: '{fields.PathOf("type")}' is '{ApiException.Shorten(type)}'. Supported values are: 'function'.");
            JsonFields holder = fields.Object("function") ?? fields; // beside the type in the Responses API
            return Forced(tools, holder.RequiredText("name"), holder.PathOf("name"));
        }

        string choice = JsonFields.Text(value, Field);
        return choice switch
        {
            "auto" => new ToolChoice(),
            "none" => new ToolChoice(Offers: false),
            "required" => Forced(tools, null, Field),
            _ => throw JsonFields.InvalidChoice(Field, choice, ["auto", "none", "required"]),
        };
    }

    /// <summary>A call that must be made.</summary>
    /// <param name="tools">The functions offered.</param>
    /// <param name="name">The one to be called; null for any.</param>
    /// <param name="path">The field that says so.</param>
    /// <exception cref="ApiException">There is no such function.</exception>
    public static ToolChoice Forced(List<ToolDefinition> tools, string? name, string path)
    {
        if (tools.Count == 0)
            throw ApiException.Invalid(Field, "invalid_value", $"Invalid '{Field}': it is only allowed when 'tools' are specified.");
        if (name is not null && !tools.Exists(tool => tool.Name == name))
            throw ApiException.Invalid(path, "invalid_value", $"Invalid '{path}': no tool is named '{ApiException.Shorten(name)}'.");
        return new ToolChoice(IsForced: true, Name: name);
    }
}
