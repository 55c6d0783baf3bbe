using Flint.Contemplate;

namespace Flint.Tests.Contemplate;

public sealed class AnswerTests
{
    [Theory]
    [InlineData("There are 24 toys left.", AnswerKind.Number, "24")]
    [InlineData("24", AnswerKind.Number, "24")]
    [InlineData("24.0", AnswerKind.Number, "24")]
    [InlineData("He pays $1,250.50 in all", AnswerKind.Number, "1250.5")]
    [InlineData("-007", AnswerKind.Number, "-7")]
    [InlineData("\u22125 degrees", AnswerKind.Number, "-5")]
    [InlineData("-0", AnswerKind.Number, "0")]
    [InlineData("50%", AnswerKind.Number, "50%")]
    [InlineData("It is 12, yes 12.", AnswerKind.Number, "12")]
    [InlineData("123456789012345678901234567890123", AnswerKind.Number, "123456789012345678901234567890123")]
    [InlineData("First 3, then 5", AnswerKind.Text, "first 3, then 5")]
    [InlineData("1,2,3", AnswerKind.Text, "1,2,3")]
    [InlineData("version 3.14.15", AnswerKind.Text, "version 3.14.15")]
    [InlineData("So we add.\nThe answer is 17.", AnswerKind.Number, "17")]
    [InlineData("3 and 4 give 7.\nAnswer: 7", AnswerKind.Number, "7")]
    [InlineData("2 + 2, thus \\boxed{4}", AnswerKind.Number, "4")]
    [InlineData("B", AnswerKind.Choice, "B")]
    [InlineData("(C)", AnswerKind.Choice, "C")]
    [InlineData("B. Paris", AnswerKind.Choice, "B")]
    [InlineData("D) 42", AnswerKind.Choice, "D")]
    [InlineData("The answer is (A) a dog", AnswerKind.Choice, "A")]
    [InlineData("A dog barks.", AnswerKind.Text, "a dog barks")]
    [InlineData("{\"b\": 1.50, \"a\": [ true, null, \"x\" ]}", AnswerKind.Json, "{\"a\":[true,null,\"x\"],\"b\":1.5}")]
    [InlineData("```json\n{\"a\": 1e3}\n```", AnswerKind.Json, "{\"a\":1000}")]
    [InlineData("{\"a\": 1, \"a\": 2}", AnswerKind.Json, "{\"a\":2}")]
    [InlineData("[1, 2", AnswerKind.Text, "[1, 2")]
    [InlineData("{\"a\": \"\\ud800\"}", AnswerKind.Text, "{\"a\": \"\\ud800\"}")]
    [InlineData("  The  Red\tone! ", AnswerKind.Text, "the red one")]
    public void Answers_are_compared_by_what_they_say(string text, AnswerKind kind, string key) =>
        Assert.Equal(new Answer(kind, key), Answer.Of(text));

    [Theory]
    [InlineData("")]
    [InlineData(" \n ")]
    [InlineData("...")]
    public void Nothing_said_is_no_answer(string text) => Assert.Null(Answer.Of(text));

    [Fact]
    public void A_long_text_is_not_about_the_one_number_in_it()
    {
        string text = string.Join(' ', Enumerable.Repeat("words", 60)) + " 12";
        Assert.Equal(AnswerKind.Text, Answer.Of(text)!.Value.Kind);
        Assert.Equal(new Answer(AnswerKind.Call, "f{}"), Answer.Of(new Draft("", "12", "f{}")));
        Assert.Equal(new Answer(AnswerKind.Number, "12"), Answer.Of(new Draft("13", "12")));
        Assert.False(Answer.TryCanonical(new string('[', 100) + new string(']', 100), out _));
    }
}
