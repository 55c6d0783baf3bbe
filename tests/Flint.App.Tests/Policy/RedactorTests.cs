using System.Text.Json.Nodes;
using Flint.App.Policy;

namespace Flint.App.Tests.Policy;

/// <summary>What is struck out of texts that are kept, and what is not.</summary>
public sealed class RedactorTests
{
    [Theory]
    [InlineData("write to ada.l+x@mail.example.org, please", "write to [email], please")]
    [InlineData("Änne@müller.de", "[email]")]
    [InlineData("card 4111 1111 1111 1111 2026", "card [card] 2026")]
    [InlineData("4111-1111-1111-1111.", "[card].")]
    [InlineData("378282246310005", "[card]")]
    [InlineData("not 4111 1111 1111 1112", "not [phone] 1112")] // no card; in doubt a number
    [InlineData("call +49 170 1234567 at 9", "call [phone] at 9")]
    [InlineData("call (030) 123-4567", "call [phone]")]
    [InlineData("0301234567", "[phone]")]
    [InlineData("555-123-4567 2026", "[phone]")]
    [InlineData("01.23.45.67.89", "[phone]")]
    [InlineData("password: hunter2, go", "password: [field], go")]
    [InlineData("API-Key = \"abc def\" and", "API-Key = [field] and")]
    [InlineData("Authorization: Bearer abc.def", "Authorization: [field]")]
    [InlineData("{\"note\": \"me@x.org\", \"Api_Key\": 5, \"ok\": [1, null]}", "{\"note\":\"[email]\",\"Api_Key\":\"[field]\",\"ok\":[1,null]}")]
    public void What_is_found_is_struck_out(string text, string expected) => Assert.Equal(expected, Redactor.Usual.Redact(text));

    [Theory]
    [InlineData("")]
    [InlineData("on 2026-11-23 12:00 at 192.168.100.200, 3.14159265 of 12345678")]
    [InlineData("an @ alone, a@b, a word like password or pin")]
    [InlineData("call_4111111111111111abc")]
    [InlineData("[a list of 1, 2, 3]")]
    [InlineData("1732386000123")]
    public void What_is_none_stays(string text) => Assert.Equal(text, Redactor.Usual.Redact(text));

    [Fact]
    public void It_looks_into_json_within_strings_and_leaves_json_whole()
    {
        string body = new JsonObject
        {
            ["model"] = "tiny",
            ["user"] = "ada",
            ["seed"] = 4111111111111111,
            ["messages"] = new JsonArray(new JsonObject { ["role"] = "user", ["content"] = "I am ada@x.org" }),
            ["calls"] = new JsonArray(new JsonObject { ["arguments"] = new JsonObject { ["token"] = new JsonArray(1), ["to"] = "bob@x.org" }.ToJsonString() }),
        }.ToJsonString();
        JsonNode told = JsonNode.Parse(Redactor.Usual.RedactJson(body))!;
        Assert.Equal(("tiny", "[field]", "[card]", "user", "I am [email]"), ((string?)told["model"], (string?)told["user"], (string?)told["seed"], (string?)told["messages"]![0]!["role"], (string?)told["messages"]![0]!["content"]));
        Assert.Equal("""{"token":"[field]","to":"[email]"}""", (string?)told["calls"]![0]!["arguments"]);
        Assert.Equal("""{"a":"[no text]"}""", Redactor.Usual.RedactJson("""{"a":"\ud800"}"""));
    }

    [Fact]
    public void The_operator_says_what_is_detected()
    {
        var redactor = new Redactor(["email"], ["staff_no"], [("employee", @"E-\d{6}")]);
        Assert.Equal("[email] [employee] +49 170 1234567 staff no: [field] password: x", redactor.Redact("a@b.org E-123456 +49 170 1234567 staff no: 7 password: x"));
        Assert.Equal("a@b.org", new Redactor([], [], []).Redact("a@b.org"));
        Assert.Equal("invalid_rule", Assert.Throws<FlintException>(() => new Redactor(["iris"], [], [])).Code);
        Assert.Equal("invalid_rule", Assert.Throws<FlintException>(() => new Redactor([], ["_"], [])).Code);
        Assert.Equal("invalid_rule", Assert.Throws<FlintException>(() => new Redactor([], [], [("x", "(?=a)")])).Code);
    }

    // However long a text, and whatever is nearly in it, every number of the kind is gone.
    [Fact]
    public void Cards_among_other_numbers_are_found_wherever_they_stand()
    {
        var random = new Random(7);
        for (int round = 0; round < 500; round++)
        {
            string before = string.Join(' ', Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(10_000).ToString()));
            string after = string.Join(' ', Enumerable.Range(0, random.Next(4)).Select(_ => random.Next(10_000).ToString()));
            string text = $"{before}, 5555 5555 5555 4444 {after}";
            Assert.DoesNotContain("5555 5555 5555", Redactor.Usual.Redact(text), StringComparison.Ordinal);
        }
    }
}
